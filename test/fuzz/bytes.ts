// Inputs as peers send them: bytes with some sense in them, and the cuts at which they arrive.
import fc from "fast-check";

/** Sizes of the pieces in which bytes arrive; what is left comes in one. */
export const cuts: fc.Arbitrary<number[]> = fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 40 });

export const noise: fc.Arbitrary<Buffer> = fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes));

/** Text of latin1, made of pieces that mean something. */
export function sentences(words: readonly string[], maxLength = 40): fc.Arbitrary<Buffer> {
  const word = fc.constantFrom(...words).map((text) => Buffer.from(text, "latin1"));
  const piece = fc.oneof({ weight: 20, arbitrary: word }, { weight: 1, arbitrary: noise });
  return fc.array(piece, { maxLength }).map((pieces) => Buffer.concat(pieces));
}

type Edit = readonly [kind: number, at: number, value: number];

/** One of the originals with some bytes changed, left out, doubled or put in. */
export function damaged(originals: readonly Buffer[]): fc.Arbitrary<Buffer> {
  const edit: fc.Arbitrary<Edit> = fc.tuple(fc.nat(3), fc.nat(4000), fc.nat(255));
  return fc
    .tuple(fc.constantFrom(...originals), fc.array(edit, { maxLength: 6 }))
    .map(([original, edits]) => edits.reduce(edited, Buffer.from(original)));
}

function edited(bytes: Buffer, [kind, place, value]: Edit): Buffer {
  const at = bytes.length === 0 ? 0 : place % bytes.length;
  if (kind === 0) {
    if (at < bytes.length) bytes[at] = value;
    return bytes;
  }
  const [before, after] = [bytes.subarray(0, at), bytes.subarray(at)];
  if (kind === 1) return Buffer.concat([before, after.subarray(1 + (value % 8))]);
  if (kind === 2) return Buffer.concat([before, after.subarray(0, value % 40), after]);
  return Buffer.concat([before, Buffer.from([value]), after]);
}

/** Calls back with each piece, each in memory of its own, as a socket gives them. */
export function feed(bytes: Buffer, sizes: readonly number[], take: (piece: Buffer) => boolean): void {
  let at = 0;
  for (const size of [...sizes, bytes.length]) {
    const piece = Buffer.from(bytes.subarray(at, at + size));
    at += size;
    if (piece.length > 0 && !take(piece)) return;
  }
}
