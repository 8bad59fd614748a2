import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { decodePairs, encodePairs } from "./pairs.ts";

test("a list is laid out as the specification says", () => {
  // A count, the lengths of all names and values, then the bytes with a NUL after each.
  const expected = "02000000 01000000 01000000 01000000 02000000 61003100 6200323200".replaceAll(" ", "");
  assert.equal(
    encodePairs([
      ["a", "1"],
      ["b", "22"],
    ]).toString("hex"),
    expected,
  );
});

test("what was written is read, whatever bytes it holds", () => {
  const text = fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes).toString("latin1"));
  fc.assert(
    fc.property(fc.array(fc.tuple(text, text), { maxLength: 8 }), (pairs) => {
      assert.deepEqual(decodePairs(encodePairs(pairs)), pairs);
    }),
  );
});

test("the empty list has three forms, and anything else is read or refused", () => {
  assert.deepEqual(decodePairs(Buffer.alloc(0)), []);
  assert.deepEqual(decodePairs(Buffer.of(0)), []);
  assert.deepEqual(decodePairs(Buffer.alloc(4)), []);
  assert.equal(decodePairs(Buffer.from("ffffffff", "hex")), null);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      const pairs = decodePairs(Buffer.from(bytes));
      return pairs === null || pairs.length <= bytes.length;
    }),
    { numRuns: 2000 },
  );
});
