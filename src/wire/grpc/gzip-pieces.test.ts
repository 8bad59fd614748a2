import assert from "node:assert/strict";
import { test } from "node:test";
import { crc32, gunzipSync } from "node:zlib";
import { gzipPiece, joinCrc32, joinGzip, storedPiece } from "./gzip-pieces.ts";

const text = (seed: string, length: number): Buffer =>
  Buffer.from(seed.repeat(length / seed.length + 1)).subarray(0, length);

test("pieces join to one gzip stream, in any order and more than once", () => {
  const a = gzipPiece(text("route 80 ", 40_000));
  const b = gzipPiece(text("cluster ", 70_001));
  const small = storedPiece(Buffer.from("nonce"));
  for (const pieces of [[a, b, small], [small, b, a, a, small], [a], [storedPiece(text("x", 140_000))], []]) {
    const joined = joinGzip(pieces);
    assert.deepEqual(gunzipSync(joined), Buffer.concat(pieces.map(({ bytes }) => bytes)));
  }
  assert.ok(joinGzip([a, b]).length < 2000);
});

test("a piece is compressed once", () => {
  const piece = gzipPiece(text("abc", 1000));
  assert.equal(piece.deflated, piece.deflated);
});

test("sums of parts give the sum of the whole", () => {
  for (const [left, right] of [
    [0, 0],
    [0, 5],
    [5, 0],
    [1, 1],
    [1000, 65_537],
  ] as const) {
    const [first, second] = [text("first", left), text("second part", right)];
    assert.equal(joinCrc32(crc32(first), crc32(second), right), crc32(Buffer.concat([first, second])));
  }
});
