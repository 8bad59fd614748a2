// A gzip stream (RFC 1952) joined of pieces that are compressed once each, however many streams they stand in: a piece is
// a run of DEFLATE blocks (RFC 1951) that ends at a byte and refers to nothing before itself.
import { constants, crc32, deflateRawSync } from "node:zlib";

export interface GzipPiece {
  /** Uncompressed. */
  readonly bytes: Buffer;
  /** Blocks of which none is the last. */
  readonly deflated: Buffer;
  readonly crc32: number;
}

/** Fastest: what is sent is mostly repetition, which any level finds. */
const level = 1;
const maxStored = 0xffff;

/** Compresses when it is first asked for. */
export function gzipPiece(bytes: Buffer): GzipPiece {
  let deflated: Buffer | undefined;
  let sum: number | undefined;
  return {
    bytes,
    get deflated() {
      return (deflated ??= deflateRawSync(bytes, { level, finishFlush: constants.Z_SYNC_FLUSH }));
    },
    get crc32() {
      return (sum ??= crc32(bytes));
    },
  };
}

/** For a few bytes, which would not become fewer. */
export function storedPiece(bytes: Buffer): GzipPiece {
  return {
    bytes,
    get deflated() {
      return stored(bytes);
    },
    get crc32() {
      return crc32(bytes);
    },
  };
}

/** Method 8, no name, no time, fastest, unknown system. */
const header = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255]);
/** An empty block with fixed codes, the last one. */
const lastBlock = Buffer.from([3, 0]);

export function joinGzip(pieces: readonly GzipPiece[]): Buffer {
  let sum = 0;
  let size = 0;
  for (const piece of pieces) {
    sum = joinCrc32(sum, piece.crc32, piece.bytes.length);
    size += piece.bytes.length;
  }
  const trailer = Buffer.alloc(8);
  trailer.writeUInt32LE(sum, 0);
  trailer.writeUInt32LE(size % 0x1_0000_0000, 4);
  return Buffer.concat([header, ...pieces.map((piece) => piece.deflated), lastBlock, trailer]);
}

function stored(bytes: Buffer): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += maxStored) {
    const part = bytes.subarray(at, at + maxStored);
    const head = Buffer.alloc(5);
    head.writeUInt16LE(part.length, 1);
    head.writeUInt16LE(part.length ^ maxStored, 3);
    parts.push(head, part);
  }
  return Buffer.concat(parts);
}

// CRC-32 of two runs of bytes from the sums of each: polynomials over GF(2) modulo the CRC's, the highest power in the
// lowest bit.
const polynomial = 0xedb88320;
const one = 0x8000_0000;

function multiply(a: number, b: number): number {
  let product = 0;
  let factor = b;
  for (let bit = one; bit !== 0; bit >>>= 1) {
    if ((a & bit) !== 0) product ^= factor;
    factor = (factor & 1) === 0 ? factor >>> 1 : (factor >>> 1) ^ polynomial;
  }
  return product >>> 0;
}

/** x to the power of 2^n. */
const powers: readonly number[] = Array.from({ length: 31 }).reduce<number[]>(
  (found) => [...found, multiply(found.at(-1) ?? 0, found.at(-1) ?? 0)],
  [0x4000_0000],
);

/** The sum of both, of which the second has so many bytes. */
export function joinCrc32(first: number, second: number, length: number): number {
  let shift = one;
  // Eight powers of x for each byte.
  for (let left = length, power = 3; left > 0; left = Math.floor(left / 2), power++) {
    if (left % 2 === 1) shift = multiply(powers[power & 31] ?? one, shift);
  }
  return (multiply(shift, first) ^ second) >>> 0;
}
