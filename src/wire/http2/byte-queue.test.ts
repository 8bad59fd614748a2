import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ByteQueue } from "./byte-queue.ts";

const piece = fc.oneof(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 1000, max: 5000 }));
const step = fc.oneof(
  fc.record({ push: fc.constant(true), count: piece }),
  fc.record({ push: fc.constant(false), count: fc.integer({ min: 1, max: 6000 }) }),
);

test("bytes come out in the order in which they went in", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const queue = new ByteQueue();
      let pushed = 0;
      let shifted = 0;
      for (const { push, count } of steps) {
        if (push) {
          queue.push(Buffer.from(Array.from({ length: count }, () => pushed++ & 0xff)));
        } else if (queue.length > 0) {
          const bytes = queue.shift(count);
          assert.ok(bytes.length > 0 && bytes.length <= count);
          for (const byte of bytes) assert.equal(byte, shifted++ & 0xff);
        }
        assert.equal(queue.length, pushed - shifted);
      }
      while (queue.length > 0) for (const byte of queue.shift(1 << 20)) assert.equal(byte, shifted++ & 0xff);
      assert.equal(shifted, pushed);
    }),
  );
});

test("thousands of tiny pieces do not hold the buffers that they were cut out of", () => {
  const queue = new ByteQueue();
  const large = Buffer.alloc(1 << 16);
  for (let i = 0; i < 10_000; i++) queue.push(large.subarray(i, i + 1));
  let pieces = 0;
  while (queue.length > 0) {
    assert.notEqual(queue.shift(1 << 20).buffer, large.buffer);
    pieces++;
  }
  assert.ok(pieces <= 6, `${pieces}`);
});
