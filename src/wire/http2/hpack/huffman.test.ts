import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { decodeHuffman, encodeHuffman, huffmanLength, maxDecodedLength } from "./huffman.ts";

function encode(bytes: Uint8Array): Buffer {
  const length = huffmanLength(bytes, 0, bytes.length);
  const to = Buffer.alloc(length + 8);
  assert.equal(encodeHuffman(bytes, 0, bytes.length, to, 0), length);
  return to.subarray(0, length);
}

function decode(bytes: Uint8Array): Buffer | null {
  const to = Buffer.alloc(maxDecodedLength(bytes.length) + 1);
  const length = decodeHuffman(bytes, 0, bytes.length, to);
  return length < 0 ? null : to.subarray(0, length);
}

test("every byte is coded and decoded", () => {
  const all = Uint8Array.from({ length: 256 }, (_, i) => i);
  assert.deepEqual(decode(encode(all)), Buffer.from(all));
  for (let byte = 0; byte < 256; byte++) assert.deepEqual(decode(encode(Uint8Array.of(byte))), Buffer.of(byte));
});

test("any bytes come back as they were", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) =>
      assert.deepEqual(decode(encode(bytes)), Buffer.from(bytes)),
    ),
  );
});

test("what decodes at all is the only coding of its bytes", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (coded) => {
      const bytes = decode(coded);
      if (bytes !== null) assert.deepEqual(encode(bytes), Buffer.from(coded));
    }),
    { numRuns: 5000 },
  );
});
