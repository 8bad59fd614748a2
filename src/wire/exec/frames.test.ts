import assert from "node:assert/strict";
import { test } from "node:test";
import { ExecChannel, encodeFrame, FrameReader, maxFrameBytes } from "./frames.ts";

test("frames come out whole however the bytes are cut", () => {
  const bytes = Buffer.concat([
    encodeFrame(ExecChannel.Output, Buffer.from("hello")),
    encodeFrame(ExecChannel.Input, Buffer.alloc(0)),
    encodeFrame(ExecChannel.ExitCode, Buffer.from("3")),
  ]);
  for (let size = 1; size <= bytes.length; size++) {
    const seen: [number, string][] = [];
    const reader = new FrameReader((channel, data) => seen.push([channel, data.toString()]));
    for (let at = 0; at < bytes.length; at += size) assert.ok(reader.push(bytes.subarray(at, at + size)));
    assert.deepEqual(seen, [
      [1, "hello"],
      [0, ""],
      [3, "3"],
    ]);
  }
});

test("a frame that is too long is refused before it is collected", () => {
  const header = Buffer.alloc(5);
  header.writeUInt32BE(maxFrameBytes + 1, 1);
  assert.equal(new FrameReader(() => assert.fail("no frame")).push(header), false);
});
