import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { MessageFrames } from "./message-frames.ts";

function framed(lengths: readonly number[]): Buffer {
  return Buffer.concat(
    lengths.map((length) => {
      const message = Buffer.alloc(5 + length, 0xff);
      message[0] = 0;
      message.writeUInt32BE(length, 1);
      return message;
    }),
  );
}

test("messages are counted when they begin, however the body is cut", () => {
  fc.assert(
    fc.property(fc.array(fc.nat(40), { maxLength: 8 }), fc.array(fc.nat(30), { maxLength: 20 }), (lengths, cuts) => {
      const body = framed(lengths);
      const frames = new MessageFrames();
      let at = 0;
      for (const cut of [...cuts, body.length]) {
        frames.scan(body.subarray(at, at + cut));
        at = Math.min(body.length, at + cut);
      }
      assert.equal(frames.count, lengths.length);
      assert.equal(frames.isBetween, true);
    }),
  );
});

test("the end of each message is found, and what is left of one is no end", () => {
  const body = framed([3, 0, 2]);
  const frames = new MessageFrames();
  const ends: number[] = [];
  for (let at = 0; at < body.length; ) ends.push((at = frames.next(body, at)));
  assert.deepEqual(ends, [8, 13, 20]);
  const cut = new MessageFrames();
  assert.deepEqual([cut.next(body.subarray(0, 6), 0), cut.isBetween], [6, false]);
});
