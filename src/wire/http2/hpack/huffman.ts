// HOT: per byte of a Huffman-coded string (bench/http2-codec.ts). The static Huffman code of HPACK (RFC 7541 5.2 and appendix B).
// The code is canonical, so the lengths alone define it. Decoding walks an automaton by four bits at a time: a state is
// an inner node of the code's tree, and no code is shorter than five bits, so a step yields at most one symbol.

/** Code length of each byte value; the 257th symbol, EOS, has 30 bits. */
const lengths: Uint8Array = Uint8Array.from(
  (
    "13 23 28 28 28 28 28 28 28 24 30 28 28 30 28 28 28 28 28 28 28 28 30 28 28 28 28 28 28 28 28 28 " +
    "6 10 10 12 13 6 8 11 10 10 8 11 8 6 6 6 5 5 5 6 6 6 6 6 6 6 7 8 15 6 12 10 " +
    "13 6 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 8 7 8 13 19 13 14 6 " +
    "15 5 6 5 6 5 6 6 6 5 7 7 6 6 6 5 6 7 6 5 5 6 7 7 7 7 7 15 11 14 13 28 " +
    "20 22 20 20 22 22 22 23 22 23 23 23 23 23 24 23 24 24 22 23 24 23 23 23 23 21 22 23 22 23 23 24 " +
    "22 21 20 22 22 23 23 21 23 22 22 24 21 22 23 23 21 21 22 21 23 22 23 23 20 22 22 22 23 22 22 23 " +
    "26 26 20 19 22 23 22 25 26 26 26 27 27 26 24 25 19 21 26 27 27 26 27 24 21 21 26 26 28 27 27 27 " +
    "20 24 20 21 22 21 21 23 22 22 25 25 24 24 26 23 26 27 26 26 27 27 27 27 27 28 27 27 27 27 27 26 30"
  ).split(" "),
  Number,
);

const EOS = 256;

/** The code of each symbol, in the low bits. */
const codes: Uint32Array = buildCodes();

function buildCodes(): Uint32Array {
  const table = new Uint32Array(257);
  let code = 0;
  for (let length = 5; length <= 30; length++) {
    for (let symbol = 0; symbol <= EOS; symbol++) if (lengths[symbol] === length) table[symbol] = code++;
    code *= 2;
  }
  return table;
}

/** A step emitted the symbol in bits 0-7. */
const EMITS = 1 << 8;
/** The string may end here: what is left are at most seven bits, all ones (RFC 7541 5.2). */
const MAY_END = 1 << 9;
/** The step completed EOS, which must not occur. */
const FAILS = 1 << 10;
const stateShift = 16;

/** By state * 16 + four bits: next state, flags and symbol. */
const steps: Uint32Array = buildSteps();

function buildSteps(): Uint32Array {
  const nodeCount = 256;
  // Children by node * 2 + bit: a node, or a leaf as -1 - symbol.
  const children = new Int16Array(nodeCount * 2);
  const mayEnd = new Uint8Array(nodeCount);
  mayEnd[0] = 1;
  let nodes = 1;
  for (let symbol = 0; symbol <= EOS; symbol++) {
    let node = 0;
    for (let bit = lengths[symbol]! - 1; bit >= 0; bit--) {
      const at = node * 2 + ((codes[symbol]! >>> bit) & 1);
      if (bit === 0) children[at] = -1 - symbol;
      else if (children[at] === 0) children[at] = nodes++;
      node = children[at]!;
    }
  }
  for (let node = 0, depth = 1; depth <= 7; depth++) {
    node = children[node * 2 + 1]!;
    mayEnd[node] = 1;
  }
  const table = new Uint32Array(nodeCount * 16);
  for (let state = 0; state < nodeCount; state++) {
    for (let bits = 0; bits < 16; bits++) {
      let node = state;
      let flags = 0;
      for (let bit = 3; bit >= 0; bit--) {
        const child = children[node * 2 + ((bits >> bit) & 1)]!;
        if (child === -1 - EOS) flags |= FAILS;
        else if (child < 0) flags |= EMITS | (-1 - child);
        node = child < 0 ? 0 : child;
      }
      table[state * 16 + bits] = ((node << stateShift) | flags | (mayEnd[node] === 1 ? MAY_END : 0)) >>> 0;
    }
  }
  return table;
}

/** Longest result of decoding that many bytes. */
export function maxDecodedLength(encodedBytes: number): number {
  return Math.ceil((encodedBytes * 8) / 5);
}

/**
 * Decodes `from[start, end)` into `to`, which has room for `maxDecodedLength` bytes and one more. Returns the number of
 * bytes, or -1 where the coding is wrong.
 */
export function decodeHuffman(from: Uint8Array, start: number, end: number, to: Uint8Array): number {
  let length = 0;
  let step = MAY_END;
  let failed = 0;
  for (let i = start; i < end; i++) {
    const byte = from[i]!;
    step = steps[((step >>> stateShift) << 4) | (byte >> 4)]!;
    to[length] = step;
    length += (step & EMITS) >> 8;
    failed |= step;
    step = steps[((step >>> stateShift) << 4) | (byte & 15)]!;
    to[length] = step;
    length += (step & EMITS) >> 8;
    failed |= step;
  }
  return (failed & FAILS) !== 0 || (step & MAY_END) === 0 ? -1 : length;
}

/** Bytes that the string `bytes[start, end)` takes when coded. */
export function huffmanLength(bytes: Uint8Array, start: number, end: number): number {
  let bits = 7;
  for (let i = start; i < end; i++) bits += lengths[bytes[i]!]!;
  return bits >>> 3;
}

/** Codes `from[start, end)` into `to` at `at`, where there is room, and returns the position after it. */
export function encodeHuffman(from: Uint8Array, start: number, end: number, to: Uint8Array, at: number): number {
  // `pending` holds fewer than eight bits between symbols, so a code is added in at most two parts of 24 and 6 bits.
  let pending = 0;
  let count = 0;
  let position = at;
  for (let i = start; i < end; i++) {
    const symbol = from[i]!;
    let length = lengths[symbol]!;
    let code = codes[symbol]!;
    if (length > 24) {
      const rest = length - 24;
      pending = (pending << 24) | (code >>> rest);
      count += 24;
      code &= (1 << rest) - 1;
      length = rest;
      while (count >= 8) {
        count -= 8;
        to[position++] = pending >>> count;
      }
      pending &= (1 << count) - 1;
    }
    pending = (pending << length) | code;
    count += length;
    while (count >= 8) {
      count -= 8;
      to[position++] = pending >>> count;
    }
    pending &= (1 << count) - 1;
  }
  // Padded with the first bits of EOS, which are ones.
  if (count > 0) to[position++] = (pending << (8 - count)) | (0xff >>> count);
  return position;
}
