// Random peers: bytes without sense, frames with some sense, and two of our own ends that do whatever is allowed.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Headers } from "../http/headers.ts";
import { CLIENT_PREFACE } from "./frame.ts";
import type { Http2Stream } from "./stream.ts";
import { MemoryPair } from "./testing/memory-pair.ts";
import {
  block,
  describe,
  frame,
  get,
  headers,
  parseFrames,
  post,
  settings,
  settingsAck,
} from "./testing/raw-frames.ts";
import { type RawPeer, rawClient, rawServer } from "./testing/raw-peer.ts";
import { StreamRecorder } from "./testing/recorder.ts";

const request = { method: "POST", scheme: "http", authority: "a.example", path: "/", protocol: "", status: 0 };

/** What came of it: the answers in words, and what the owner was told. */
function outcome(peer: RawPeer): unknown {
  const { requests, errors, streamErrors, goaways } = peer.events;
  return {
    answers: parseFrames(peer.sink.take()).map(describe),
    requests: requests.map(({ head, body, isEnd, resets, trailers }) => [head?.path, body, isEnd, resets, trailers]),
    errors,
    streamErrors,
    goaways,
    active: peer.connection.activeStreams,
  };
}

function play(peer: RawPeer, bytes: Buffer, cuts: readonly number[]): unknown {
  let at = 0;
  for (const cut of cuts) {
    peer.connection.receive(Buffer.from(bytes.subarray(at, at + cut)));
    at += cut;
  }
  peer.connection.receive(Buffer.from(bytes.subarray(at)));
  return outcome(peer);
}

const cuts = fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 60 });

test("bytes without sense end the connection at most, however they are cut", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), cuts, (noise, pieces) => {
      const bytes = Buffer.from(noise);
      assert.deepEqual(play(rawServer(), bytes, pieces), play(rawServer(), bytes, []));
      assert.deepEqual(play(rawClient(), bytes, pieces), play(rawClient(), bytes, []));
    }),
    { numRuns: 500 },
  );
});

const streamId = fc.constantFrom(0, 1, 1, 1, 3, 3, 5, 2);
const anyFrame = fc
  .record({
    type: fc.integer({ min: 0, max: 12 }),
    flags: fc.integer({ min: 0, max: 63 }),
    id: streamId,
    payload: fc.uint8Array({ maxLength: 30 }),
  })
  .map(({ type, flags, id, payload }) => frame(type, flags, id, Buffer.from(payload)));
const goodFrame = fc.oneof(
  streamId.map((id) => headers(id, post, 4)),
  streamId.map((id) => headers(id, get)),
  fc
    .record({ id: streamId, end: fc.integer({ min: 0, max: 1 }), payload: fc.uint8Array({ maxLength: 50 }) })
    .map(({ id, end, payload }) => frame(0, end, id, Buffer.from(payload))),
  streamId.map((id) => headers(id, [["x-sum", "1"]])),
  streamId.map((id) => frame(8, 0, id, [0, 0, 1, 0])),
  streamId.map((id) => frame(3, 0, id, [0, 0, 0, 8])),
  fc.constant(settings([4, 100])),
  fc.constant(settingsAck),
);
const anyFrames = fc.array(fc.oneof({ weight: 4, arbitrary: goodFrame }, { weight: 1, arbitrary: anyFrame }), {
  maxLength: 30,
});

test("frames in any order mean the same however they are cut", () => {
  fc.assert(
    fc.property(anyFrames, cuts, (frames, pieces) => {
      const bytes = Buffer.concat(frames);
      assert.deepEqual(play(rawServer(), bytes, pieces), play(rawServer(), bytes, []));
    }),
    { numRuns: 1000 },
  );
});

test("frames in any order do a client no harm", () => {
  const response = fc.oneof(
    { weight: 3, arbitrary: streamId.map((id) => frame(1, 4, id, block([[":status", "200"]]))) },
    { weight: 3, arbitrary: anyFrames.map((frames) => Buffer.concat(frames)) },
  );
  fc.assert(
    fc.property(fc.array(response, { maxLength: 8 }), cuts, (parts, pieces) => {
      const results = [pieces, []].map((each) => {
        const peer = rawClient();
        const recorders = [new StreamRecorder(), new StreamRecorder()];
        for (const recorder of recorders) peer.connection.openStream(recorder, request, new Headers(), false);
        peer.sink.take();
        const result = play(peer, Buffer.concat(parts), each);
        peer.connection.connectionLost();
        // Our side of the streams was open, so each is told once that it is over.
        for (const { resets } of recorders) assert.equal(resets.length, 1);
        return [result, recorders.map(({ body, resets, isEnd, trailers }) => [body, resets, isEnd, trailers])];
      });
      assert.deepEqual(results[0], results[1]);
    }),
    { numRuns: 500 },
  );
});

test("a preface that is followed by anything is read the same however it is cut", () => {
  fc.assert(
    fc.property(anyFrames, cuts, (frames, pieces) => {
      const bytes = Buffer.concat([CLIENT_PREFACE, settings(), ...frames]);
      assert.deepEqual(play(rawServer({ silent: true }), bytes, pieces), play(rawServer({ silent: true }), bytes, []));
    }),
    { numRuns: 200 },
  );
});

interface Side {
  stream: Http2Stream;
  readonly recorder: StreamRecorder;
  sent: string;
  isDone: boolean;
}

const action = fc.record({
  stream: fc.nat({ max: 3 }),
  side: fc.boolean(),
  kind: fc.constantFrom(
    "open",
    "send",
    "send",
    "send",
    "end",
    "trailers",
    "reset",
    "pause",
    "resume",
    "turn",
    "block",
    "unblock",
  ),
  bytes: fc.oneof(fc.integer({ min: 0, max: 200 }), fc.integer({ min: 0, max: 150_000 })),
});

test("whatever two ends do, content arrives in order and whole unless its stream was reset, and nothing is left behind", () => {
  fc.assert(
    fc.property(
      fc.array(action, { maxLength: 100, size: "max" }),
      fc.constantFrom(1 << 20, 1000, 7),
      (actions, pieceBytes) => {
        const small = { streamWindow: 65535, connectionWindow: 65535, preserveHeaderCase: true };
        const pair = new MemoryPair(small, small);
        const near: Side[] = [];
        const far: Side[] = [];
        pair.serverEvents.onRequest = (recorder) => {
          recorder.stream.sendHead(200, new Headers(), false);
          far[(recorder.stream.id - 1) / 2] = { stream: recorder.stream, recorder, sent: "", isDone: false };
        };
        for (const { stream, side: isFar, kind, bytes } of actions) {
          if (kind === "open" || near.length < 3) {
            const recorder = new StreamRecorder();
            const opened = pair.client.openStream(recorder, request, new Headers(), false);
            if (opened !== null) near.push({ stream: opened, recorder, sent: "", isDone: false });
          } else if (kind === "turn") {
            pair.run(pieceBytes);
          } else if (kind === "block" || kind === "unblock") {
            const sink = isFar ? pair.serverSink : pair.clientSink;
            sink.accepts = kind === "unblock";
            if (sink.accepts) (isFar ? pair.server : pair.client).onSinkDrain();
          } else {
            const side = (isFar ? far : near)[stream % Math.max(1, near.length)];
            if (side === undefined) continue;
            if (kind === "pause") side.stream.pauseReading();
            else if (kind === "resume") side.stream.resumeReading();
            else if (kind === "reset") side.stream.reset(8);
            else if (!side.isDone && !side.stream.isClosed) act(side, kind, bytes);
          }
        }
        for (const [sink, connection] of [
          [pair.clientSink, pair.client],
          [pair.serverSink, pair.server],
        ] as const) {
          sink.accepts = true;
          connection.onSinkDrain();
        }
        pair.run(pieceBytes);
        for (const side of [...near, ...far]) {
          side.stream.resumeReading();
          if (!side.isDone && !side.stream.isClosed) act(side, "end", 0);
        }
        pair.run(pieceBytes);
        assert.deepEqual([...pair.clientEvents.errors, ...pair.serverEvents.errors], []);
        assert.deepEqual([...pair.clientEvents.streamErrors, ...pair.serverEvents.streamErrors], []);
        assert.deepEqual([pair.client.activeStreams, pair.server.activeStreams], [0, 0]);
        for (const [i, one] of near.entries()) {
          const other = far[i];
          if (other === undefined) continue;
          for (const [from, to] of [
            [one, other],
            [other, one],
          ] as const) {
            if (to.recorder.isEnd) assert.equal(to.recorder.body, from.sent);
            else assert.ok(from.sent.startsWith(to.recorder.body));
          }
        }
      },
    ),
    { numRuns: 300 },
  );
});

let letters = 0;
function act(side: Side, kind: string, bytes: number): void {
  const text = String.fromCharCode(97 + (letters++ % 26)).repeat(bytes);
  if (kind === "trailers") side.stream.sendTrailers(new Headers());
  else side.stream.sendData(Buffer.from(text), kind === "end");
  if (kind !== "trailers") side.sent += text;
  side.isDone = kind !== "send";
}
