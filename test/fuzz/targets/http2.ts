// HTTP/2: frames and header blocks with some sense, in any order and cut anywhere, do no more than end a stream or the
// connection, and do the same however they are cut.
import assert from "node:assert/strict";
import fc from "fast-check";
import { Headers } from "#wire/http/headers.ts";
import { HpackDecoder } from "#wire/http2/hpack/decoder.ts";
import { HpackEncoder } from "#wire/http2/hpack/encoder.ts";
import { FrameOutput } from "#wire/http2/output.ts";
import {
  block,
  data,
  describe,
  frame,
  get,
  goaway,
  headers,
  parseFrames,
  ping,
  post,
  rst,
  settings,
  settingsAck,
  windowUpdate,
} from "#wire/http2/testing/raw-frames.ts";
import { type RawPeer, rawClient, rawServer } from "#wire/http2/testing/raw-peer.ts";
import { StreamRecorder } from "#wire/http2/testing/recorder.ts";
import { cuts, damaged, feed, noise } from "../bytes.ts";
import { type FuzzTarget, fuzzTarget } from "../fuzz-target.ts";

const id = fc.constantFrom(0, 1, 1, 1, 3, 3, 5, 2, 2 ** 31 - 1);
const anyFrame = fc
  .record({ type: fc.nat(12), flags: fc.nat(255), id, payload: noise })
  .map((it) => frame(it.type, it.flags, it.id, it.payload));
const goodFrame = fc.oneof(
  id.map((it) => headers(it, get)),
  id.map((it) => headers(it, post, 4)),
  id.map((it) => headers(it, [[":status", "200"]], 4)),
  id.map((it) => headers(it, [["x-sum", "1"]])),
  fc.tuple(id, noise, fc.nat(1)).map(([it, bytes, end]) => data(it, bytes, end)),
  fc.tuple(id, fc.nat(70_000)).map(([it, more]) => windowUpdate(it, more)),
  fc.tuple(id, fc.nat(13)).map(([it, code]) => rst(it, code)),
  fc.tuple(fc.nat(9), fc.nat()).map(([key, value]) => settings([key, value])),
  id.map((it) => goaway(it, 0)),
  fc.constantFrom(settingsAck, ping(), ping("abcdefgh", 1)),
);
const frames = fc
  .array(fc.oneof({ weight: 5, arbitrary: goodFrame }, { weight: 1, arbitrary: anyFrame }), { maxLength: 30 })
  .map((parts) => Buffer.concat(parts));

function outcome(peer: RawPeer, bytes: Buffer, sizes: readonly number[]): unknown {
  feed(bytes, sizes, (piece) => {
    peer.connection.receive(piece);
    return true;
  });
  const { requests, errors, streamErrors, goaways } = peer.events;
  return {
    answers: parseFrames(peer.sink.take()).map(describe),
    requests: requests.map(({ head, body, isEnd, resets }) => [head?.path, body, isEnd, resets]),
    errors,
    streamErrors,
    goaways,
    active: peer.connection.activeStreams,
  };
}

export const http2Server: FuzzTarget = fuzzTarget(
  "http2-server",
  fc.property(frames, cuts, (bytes, sizes) => {
    assert.deepEqual(outcome(rawServer(), bytes, sizes), outcome(rawServer(), bytes, []));
  }),
);

const request = { method: "POST", scheme: "http", authority: "a", path: "/", protocol: "", status: 0 };

export const http2Client: FuzzTarget = fuzzTarget(
  "http2-client",
  fc.property(frames, cuts, (bytes, sizes) => {
    const results = [sizes, []].map((each) => {
      const peer = rawClient();
      const streams = [new StreamRecorder(), new StreamRecorder()];
      for (const stream of streams) peer.connection.openStream(stream, request, new Headers(), false);
      peer.sink.take();
      const result = outcome(peer, bytes, each);
      peer.connection.connectionLost();
      for (const stream of streams) assert.equal(stream.resets.length, 1);
      return result;
    });
    assert.deepEqual(results[0], results[1]);
  }),
);

const blocks = [
  block(get),
  block([...post, ["x-a", "1"], ["cookie", "a=b"], ["cookie", "c=d"]]),
  Buffer.from("828684418cf1e3c2e5f23a6ba0ab90f4ff", "hex"),
  Buffer.from("828684be58086e6f2d6361636865", "hex"),
  Buffer.from("3fe11f8840027830027979c0c1", "hex"),
];

interface DecodedField {
  readonly name: string;
  readonly value: string;
}

/** Decodes blocks one after the other: what came out, and the size of the table. */
function decodeAll(parts: readonly Buffer[]): { fields: DecodedField[]; failure: string; tableSize: number } {
  const decoder = new HpackDecoder(false);
  const fields: DecodedField[] = [];
  const sink = { onField: (_id: number, name: string, value: string): void => void fields.push({ name, value }) };
  for (const part of parts) if (!decoder.decode(part, 0, part.length, sink)) break;
  return { fields, failure: decoder.failure, tableSize: decoder.tableSize };
}

const fieldText = fc.stringMatching(/^[!-~]{1,12}$/);
const list = fc.array(fc.tuple(fc.stringMatching(/^x-[a-z-]{0,10}$/), fieldText), { maxLength: 8 });

export const hpack: FuzzTarget = fuzzTarget(
  "hpack",
  fc.property(
    fc.array(fc.oneof(noise, damaged(blocks)), { maxLength: 6 }),
    fc.array(list, { maxLength: 4 }),
    fc.boolean(),
    (parts, lists, huffman) => {
      const { fields, tableSize } = decodeAll(parts);
      assert.ok(tableSize <= 4096);
      // A block of a few bytes may name entries of the table, and none is larger than the table.
      const bytes = parts.reduce((sum, part) => sum + part.length, 0);
      assert.ok(fields.length <= bytes);
      const encoder = new HpackEncoder({ tableSize: 256, huffman, preserveHeaderCase: false });
      const encoded = lists.map((lines) => {
        const out = new FrameOutput();
        const trailers = new Headers();
        for (const [name, value] of lines) trailers.add(name, value);
        encoder.encodeTrailers(out, trailers);
        return Buffer.from(out.bytes.subarray(out.frameStart, out.at));
      });
      const back = decodeAll(encoded);
      assert.equal(back.failure, "");
      const sent = lists.flat().map(([name, value]) => ({ name, value }));
      if (!encoder.hasRefused) assert.deepEqual(back.fields, sent);
    },
  ),
);
