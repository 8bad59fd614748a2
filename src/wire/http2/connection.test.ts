import assert from "node:assert/strict";
import { test } from "node:test";
import { Headers } from "../http/headers.ts";
import { type Http2Settings, meshSettings } from "./settings.ts";
import { MemoryPair } from "./testing/memory-pair.ts";
import { lines, StreamRecorder } from "./testing/recorder.ts";

const request = { method: "GET", scheme: "http", authority: "a.example", path: "/x", protocol: "", status: 0 };

test("a request and its response travel, in pieces of any size", () => {
  for (const pieceBytes of [1, 2, 7, 1 << 20]) {
    const pair = new MemoryPair();
    pair.serverEvents.onRequest = (received) => {
      const headers = new Headers();
      headers.add("content-type", "text/plain");
      received.stream.sendHead(200, headers, false);
      received.stream.sendData(Buffer.from("hello"), true);
    };
    const recorder = new StreamRecorder();
    const headers = new Headers();
    headers.add("x-custom", "1");
    pair.client.openStream(recorder, request, headers, true);
    pair.run(pieceBytes);
    const [received] = pair.serverEvents.requests;
    assert.equal(received?.head?.path, "/x");
    assert.equal(received?.head?.authority, "a.example");
    assert.deepEqual(lines(received!.head!.headers), [["x-custom", "1"]]);
    assert.equal(recorder.head?.status, 200);
    assert.equal(recorder.body, "hello");
    assert.ok(recorder.isEnd);
    assert.equal(pair.client.activeStreams, 0);
    assert.equal(pair.server.activeStreams, 0);
  }
});

for (const [name, settings] of Object.entries({ edge: {}, mesh: meshSettings })) {
  test(`a body larger than every window arrives whole with ${name} settings`, () => arrivesWhole(settings));
}

function arrivesWhole(settings: Partial<Http2Settings>): void {
  const pair = new MemoryPair(settings, settings);
  pair.serverEvents.onRequest = (received) => received.stream.sendHead(200, new Headers(), true);
  const recorder = new StreamRecorder();
  const stream = pair.client.openStream(recorder, { ...request, method: "POST" }, new Headers(), false)!;
  const body = Buffer.alloc(30_000_000, "x");
  assert.equal(stream.sendData(body, true), false);
  pair.run();
  assert.equal(pair.serverEvents.requests[0]?.bodyBytes, body.length);
  assert.equal(pair.client.activeStreams, 0);
}
