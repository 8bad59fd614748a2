// Lists of names and values as they cross the border to a module: a count, all lengths, then all bytes with a NUL after
// each. Integers are little-endian and of 32 bits. Texts are latin1: one character per byte, as header lists hold them.

export type Pair = readonly [name: string, value: string];

export function encodePairs(pairs: readonly Pair[]): Buffer {
  const out = Buffer.allocUnsafe(encodedLength(pairs));
  let at = out.writeUInt32LE(pairs.length, 0);
  for (const [name, value] of pairs) {
    at = out.writeUInt32LE(name.length, at);
    at = out.writeUInt32LE(value.length, at);
  }
  for (const [name, value] of pairs) {
    at += out.write(name, at, "latin1");
    out[at++] = 0;
    at += out.write(value, at, "latin1");
    out[at++] = 0;
  }
  return out;
}

function encodedLength(pairs: readonly Pair[]): number {
  let length = 4;
  for (const [name, value] of pairs) length += 8 + name.length + 1 + value.length + 1;
  return length;
}

/** Null when the bytes are no such list. No bytes, or a single NUL, are the empty list. */
export function decodePairs(bytes: Buffer): Pair[] | null {
  if (bytes.length === 0 || (bytes.length === 1 && bytes[0] === 0)) return [];
  if (bytes.length < 4) return null;
  const count = bytes.readUInt32LE(0);
  let at = 4 + count * 8;
  if (at > bytes.length) return null;
  const pairs: Pair[] = [];
  for (let i = 0; i < count; i++) {
    const nameEnd = at + bytes.readUInt32LE(4 + i * 8);
    const valueEnd = nameEnd + 1 + bytes.readUInt32LE(8 + i * 8);
    if (valueEnd >= bytes.length || bytes[nameEnd] !== 0 || bytes[valueEnd] !== 0) return null;
    pairs.push([bytes.toString("latin1", at, nameEnd), bytes.toString("latin1", nameEnd + 1, valueEnd)]);
    at = valueEnd + 1;
  }
  return pairs;
}
