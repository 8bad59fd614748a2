import assert from "node:assert/strict";
import { test } from "node:test";
import { Headers } from "../http/headers.ts";
import { type Http2Settings, meshSettings } from "./settings.ts";
import { MemoryPair } from "./testing/memory-pair.ts";
import {
  continuation,
  data,
  END_HEADERS,
  get,
  goaway,
  headers,
  ping,
  post,
  rst,
  settings,
  windowUpdate,
} from "./testing/raw-frames.ts";
import { rawClient, rawServer } from "./testing/raw-peer.ts";
import { lines, StreamRecorder } from "./testing/recorder.ts";

const request = { method: "GET", scheme: "http", authority: "a.example", path: "/x", protocol: "", status: 0 };
const upload = { ...request, method: "POST" };

function list(...fields: readonly (readonly [string, string])[]): Headers {
  const result = new Headers();
  for (const [name, value] of fields) result.add(name, value);
  return result;
}

test("a request and its response travel, in pieces of any size", () => {
  for (const pieceBytes of [1, 2, 7, 1 << 20]) {
    const pair = new MemoryPair();
    pair.serverEvents.onRequest = ({ stream }) => {
      stream.sendHead(200, list(["content-type", "text/plain"]), false);
      stream.sendData(Buffer.from("hello"), true);
    };
    const recorder = new StreamRecorder();
    pair.client.openStream(recorder, request, list(["x-custom", "1"]), true);
    pair.run(pieceBytes);
    const [received] = pair.serverEvents.requests;
    assert.equal(received?.head?.path, "/x");
    assert.equal(received?.head?.authority, "a.example");
    assert.deepEqual(lines(received?.head?.headers ?? list()), [["x-custom", "1"]]);
    assert.equal(recorder.head?.status, 200);
    assert.equal(recorder.body, "hello");
    assert.ok(recorder.isEnd);
    assert.equal(pair.client.activeStreams, 0);
    assert.equal(pair.server.activeStreams, 0);
  }
});

for (const [name, own] of Object.entries({ edge: {}, mesh: meshSettings })) {
  test(`a body larger than every window arrives whole with ${name} settings`, () => arrivesWhole(own));
}

function arrivesWhole(own: Partial<Http2Settings>): void {
  const pair = new MemoryPair(own, own);
  pair.serverEvents.onRequest = ({ stream }) => stream.sendHead(200, list(), true);
  const stream = pair.client.openStream(new StreamRecorder(), upload, list(), false);
  const body = Buffer.alloc(30_000_000, "x");
  assert.equal(stream?.sendData(body, true), false);
  pair.run();
  assert.equal(pair.serverEvents.requests[0]?.bodyBytes, body.length);
  assert.equal(pair.client.activeStreams, 0);
}

test("trailers and informational heads travel both ways", () => {
  const pair = new MemoryPair();
  pair.serverEvents.onRequest = ({ stream }) => {
    stream.sendHead(103, list(["link", "</style.css>"]), false);
    stream.sendHead(200, list(), false);
    stream.sendData(Buffer.from("x"), false);
    stream.sendTrailers(list(["grpc-status", "0"]));
  };
  const recorder = new StreamRecorder();
  const stream = pair.client.openStream(recorder, upload, list(), false);
  stream?.sendData(Buffer.from("y"), false);
  stream?.sendTrailers(list(["x-sum", "9"]));
  pair.run();
  assert.deepEqual(recorder.informational, [103]);
  assert.deepEqual(recorder.trailers, [["grpc-status", "0"]]);
  assert.deepEqual(pair.serverEvents.requests[0]?.trailers, [["x-sum", "9"]]);
  assert.equal(pair.client.activeStreams + pair.server.activeStreams, 0);
});

test("trailers wait for content that waits for a window", () => {
  const peer = rawServer({ peerSettings: settings([4, 3]) });
  peer.events.onRequest = ({ stream }) => {
    stream.sendHead(200, list(), false);
    assert.equal(stream.sendData(Buffer.from("hello"), false), false);
    stream.sendTrailers(list(["x", "1"]));
    assert.equal(stream.sendData(Buffer.from("ignored"), true), true);
  };
  assert.deepEqual(peer.send(headers(1, get)), ["HEADERS 1", "DATA 1 3"]);
  assert.deepEqual(peer.send(windowUpdate(1, 100)), ["DATA 1 2", "HEADERS 1 END"]);
  assert.equal(peer.connection.activeStreams, 0);
});

test("names keep their case between two of us, and only there", () => {
  const own = { preserveHeaderCase: true };
  const pair = new MemoryPair(own, own);
  pair.serverEvents.onRequest = ({ stream }) => stream.sendHead(200, list(["X-Answer", "1"], ["Server", "s"]), true);
  const recorder = new StreamRecorder();
  for (let i = 0; i < 5; i++) {
    pair.client.openStream(recorder, request, list(["User-Agent", "a"], ["X-MiXed", "2"], ["user-agent", "b"]), true);
    pair.run();
    assert.deepEqual(lines(recorder.head?.headers ?? list()), [
      ["X-Answer", "1"],
      ["Server", "s"],
    ]);
    const received = pair.serverEvents.requests[i]?.head?.headers;
    assert.deepEqual(lines(received ?? list()), [
      ["User-Agent", "a"],
      ["X-MiXed", "2"],
      ["user-agent", "b"],
    ]);
    assert.equal(received?.get("x-mixed"), "2");
  }
  const strict = rawServer();
  assert.deepEqual(strict.send(headers(1, [...get, ["X-Upper", "1"]])), ["RST_STREAM 1 PROTOCOL_ERROR"]);
  // Whoever does not say in its SETTINGS that it is one of us is served as everybody.
  const quiet = rawServer({ settings: own });
  quiet.events.onRequest = ({ stream }) => stream.sendHead(200, list(["X-Answer", "1"]), true);
  assert.deepEqual(quiet.send(headers(1, [...get, ["X-Upper", "1"]])), ["RST_STREAM 1 PROTOCOL_ERROR"]);
  assert.match(quiet.frames(headers(3, get))[0]?.payload.toString("latin1") ?? "", /x-answer/);
  const lax = rawServer({ settings: own, peerSettings: settings([0xf0ca, 1]) });
  assert.deepEqual(lax.send(headers(3, [...get, ["X-Upper", "1"]])), []);
  assert.deepEqual(lax.send(headers(5, [...get, ["X Upper", "1"]])), ["RST_STREAM 5 PROTOCOL_ERROR"]);
});

test("the frames of one turn are one write", () => {
  const pair = new MemoryPair();
  pair.serverEvents.onRequest = ({ stream }) => {
    stream.sendHead(200, list(["content-type", "text/plain"]), false);
    stream.sendData(Buffer.from("hello"), true);
  };
  let writes = 0;
  for (let round = 0; round < 20; round++) {
    for (let i = 0; i < 32; i++) pair.client.openStream(new StreamRecorder(), request, list(["x", `${i}`]), true);
    pair.client.flush();
    writes += pair.clientSink.written.length;
    pair.server.receive(pair.clientSink.take());
    pair.server.flush();
    writes += pair.serverSink.written.length;
    pair.client.receive(pair.serverSink.take());
  }
  // A buffer that is used up in the middle of a turn makes one more.
  assert.ok(writes <= 40 + 6, `${writes} writes in 40 turns`);
});

test("a large payload is handed on without a copy", () => {
  const pair = new MemoryPair({}, meshSettings);
  const body = Buffer.alloc(60_000);
  const stream = pair.client.openStream(new StreamRecorder(), upload, list(), false);
  stream?.sendData(body, true);
  pair.client.flush();
  assert.ok(pair.clientSink.written.some(({ buffer }) => buffer === body.buffer));
});

// Receiving under pressure.

test("what a paused stream gets is kept, not credited, and handed on in order when it goes on", () => {
  const peer = rawServer();
  peer.send(headers(1, post, END_HEADERS));
  const [received] = peer.events.requests;
  received?.stream.pauseReading();
  const answers = peer.send(
    ...Array.from({ length: 15 }, (_, i) => data(1, Buffer.alloc(16384, 65 + i))),
    headers(1, [["x", "1"]]),
  );
  assert.deepEqual(answers, []);
  assert.equal(received?.bodyBytes, 0);
  assert.equal(received?.trailers, null);
  received?.stream.resumeReading();
  assert.equal(received?.bodyBytes, 15 * 16384);
  assert.deepEqual(received?.trailers, [["x", "1"]]);
  assert.deepEqual([received?.body[0], received?.body.at(-1)], ["A", "O"]);
});

test("a stream may be paused again while what was kept is handed on", () => {
  const peer = rawServer();
  peer.send(headers(1, post, END_HEADERS));
  const received = peer.events.requests[0]!;
  let calls = 0;
  received.onData = (chunk, isEnd) => {
    calls++;
    received.bodyBytes += chunk.length;
    received.isEnd = isEnd;
    received.stream.pauseReading();
  };
  received.stream.pauseReading();
  peer.send(data(1, Buffer.alloc(5000)), data(1, Buffer.alloc(5000)), data(1, Buffer.alloc(10), 1));
  for (let i = 1; i <= 3; i++) {
    assert.equal(received.isEnd, false);
    received.stream.resumeReading();
    assert.equal(calls, i);
  }
  assert.equal(received.bodyBytes, 10_010);
  assert.equal(received.isEnd, true);
});

test("the end of a message that is kept comes after the rest, on its own if need be", () => {
  const peer = rawServer();
  peer.send(headers(1, post, END_HEADERS));
  const received = peer.events.requests[0]!;
  received.stream.pauseReading();
  peer.send(data(1, "", 1));
  assert.equal(received.isEnd, false);
  received.stream.resumeReading();
  assert.equal(received.isEnd, true);
});

test("streams that are paused and reset give the connection's window back", () => {
  const peer = rawServer({ settings: { connectionWindow: 65535, streamWindow: 65535 } });
  peer.events.onRequest = ({ stream }) => stream.pauseReading();
  for (let i = 0; i < 20; i++) {
    const id = 2 * i + 1;
    peer.send(headers(id, post, END_HEADERS), data(id, Buffer.alloc(16384)), data(id, Buffer.alloc(16384)));
    assert.deepEqual(peer.events.errors, []);
    if (i % 2 === 0) peer.events.requests[i]?.stream.reset(8);
    else peer.send(rst(id, 8));
  }
});

test("a few slow streams do not stop the others while the connection's window is larger", () => {
  const pair = new MemoryPair({}, { streamWindow: 65535, connectionWindow: 1 << 20 });
  pair.serverEvents.onRequest = (received) => {
    if (received.head?.path === "/slow") received.stream.pauseReading();
  };
  const body = Buffer.alloc(300_000);
  for (let i = 0; i < 10; i++)
    pair.client.openStream(new StreamRecorder(), { ...upload, path: "/slow" }, list(), false)?.sendData(body, true);
  pair.client.openStream(new StreamRecorder(), { ...upload, path: "/fast" }, list(), false)?.sendData(body, true);
  pair.run();
  assert.equal(pair.serverEvents.requests[10]?.bodyBytes, body.length);
  assert.equal(pair.serverEvents.requests[0]?.bodyBytes, 0);
});

test("windows are given back in large steps", () => {
  const peer = rawServer();
  peer.send(headers(1, post, END_HEADERS));
  let updates = 0;
  for (let i = 0; i < 1000; i++) updates += peer.send(data(1, Buffer.alloc(1000))).length;
  assert.ok(updates <= 10, `${updates} WINDOW_UPDATE frames for 1 MB`);
});

test("content without a handler is dropped and credited", () => {
  const peer = rawServer();
  peer.events.onRequest = ({ stream }) => {
    stream.handler = null;
  };
  peer.send(headers(1, post, END_HEADERS));
  for (let i = 0; i < 200; i++) peer.send(data(1, Buffer.alloc(16384)));
  assert.deepEqual(peer.events.errors, []);
  assert.deepEqual(peer.events.streamErrors, []);
});

// Sending under pressure.

test("a producer is told when to stop and when to go on", () => {
  const peer = rawServer();
  peer.send(headers(1, get));
  const received = peer.events.requests[0]!;
  received.stream.sendHead(200, list(), false);
  assert.equal(received.stream.sendData(Buffer.alloc(65535), false), true);
  assert.equal(received.stream.sendData(Buffer.from("more"), false), false);
  assert.equal(received.stream.queuedBytes, 4);
  peer.send(windowUpdate(0, 1000));
  assert.equal(received.drains, 0, "its own window is closed");
  assert.deepEqual(peer.send(windowUpdate(1, 1000)), ["DATA 1 4"]);
  assert.equal(received.drains, 1);
  assert.equal(received.stream.sendData(Buffer.from("end"), true), true);
  assert.deepEqual(peer.send(), ["DATA 1 3 END"]);
});

test("while the socket is full nothing is written but answers, and then all go on", () => {
  const peer = rawServer();
  peer.send(
    headers(1, get),
    headers(3, get),
    windowUpdate(1, 1 << 20),
    windowUpdate(3, 1 << 20),
    windowUpdate(0, 1 << 20),
  );
  const [first, second] = peer.events.requests;
  peer.sink.accepts = false;
  first?.stream.sendHead(200, list(), false);
  second?.stream.sendHead(200, list(), false);
  peer.send();
  assert.equal(first?.stream.sendData(Buffer.from("abc"), false), false);
  assert.equal(second?.stream.sendData(Buffer.from("de"), true), false);
  assert.deepEqual(peer.send(ping()), ["PING ACK 12345678"]);
  peer.sink.accepts = true;
  peer.connection.onSinkDrain();
  assert.deepEqual(peer.send(), ["DATA 1 3", "DATA 3 2 END"]);
  assert.equal(first?.drains, 1);
});

test("a producer whose bytes fill the socket is told when it takes more", () => {
  const peer = rawServer();
  peer.send(headers(1, get), windowUpdate(1, 1 << 20), windowUpdate(0, 1 << 20));
  const received = peer.events.requests[0]!;
  received.stream.sendHead(200, list(), false);
  peer.sink.accepts = false;
  // Output is handed on before the turn ends, and the sink says that this is enough.
  assert.equal(received.stream.sendData(Buffer.alloc(100_000), false), false);
  assert.equal(received.stream.queuedBytes, 100_000 - 4 * 16384);
  peer.sink.accepts = true;
  peer.connection.onSinkDrain();
  assert.equal(received.stream.queuedBytes, 0);
  assert.equal(received.drains, 1);
  peer.send();
  peer.sink.accepts = false;
  assert.equal(received.stream.sendData(Buffer.alloc(65_536), false), false);
  assert.equal(received.stream.queuedBytes, 0, "everything was taken, and it was the last");
  peer.sink.accepts = true;
  peer.connection.onSinkDrain();
  assert.equal(received.drains, 2);
});

test("streams that wait for the connection take turns", () => {
  const peer = rawServer();
  peer.send(headers(1, get), headers(3, get), windowUpdate(1, 1 << 20), windowUpdate(3, 1 << 20));
  for (const { stream } of peer.events.requests) {
    stream.sendHead(200, list(), false);
    stream.sendData(Buffer.alloc(100_000), true);
  }
  peer.send();
  const order = peer.send(windowUpdate(0, 1 << 20)).map((frame) => frame.split(" ")[1]);
  assert.deepEqual(order.slice(0, 6), ["1", "3", "1", "3", "1", "3"]);
});

test("a header that may not be sent resets the stream instead", () => {
  const pair = new MemoryPair();
  const recorder = new StreamRecorder();
  const stream = pair.client.openStream(recorder, request, list(["x", "a\r\nb"]), true);
  pair.run();
  assert.deepEqual(recorder.resets, ["INTERNAL_ERROR"]);
  assert.equal(stream?.isClosed, true);
  assert.equal(pair.serverEvents.requests[0]?.isEnd, false);
  assert.deepEqual(pair.serverEvents.requests[0]?.resets, ["INTERNAL_ERROR by peer"]);
  const next = new StreamRecorder();
  pair.serverEvents.onRequest = ({ stream: answered }) => answered.sendHead(204, list(), true);
  pair.client.openStream(next, request, list(["x", "fine"]), true);
  pair.run();
  assert.equal(next.head?.status, 204);
});

test("an early response and a reset without error end a request that still runs", () => {
  const pair = new MemoryPair();
  pair.serverEvents.onRequest = ({ stream }) => {
    stream.sendHead(403, list(), true);
    stream.reset(0);
  };
  const recorder = new StreamRecorder();
  const stream = pair.client.openStream(recorder, upload, list(), false);
  stream?.sendData(Buffer.alloc(100_000), false);
  pair.run();
  assert.equal(recorder.head?.status, 403);
  assert.deepEqual(recorder.resets, ["NO_ERROR by peer"]);
  assert.equal(stream?.sendData(Buffer.from("x"), true), true, "nothing is kept for a stream that is over");
  assert.equal(pair.client.activeStreams + pair.server.activeStreams, 0);
});

test("handlers may end other streams, and the connection, from inside a call", () => {
  const peer = rawClient();
  const recorders = Array.from({ length: 6 }, () => new StreamRecorder());
  const streams = recorders.map((recorder) => peer.connection.openStream(recorder, request, list(), true));
  recorders[1]!.onReset = () => streams[3]?.reset(8);
  peer.connection.connectionLost();
  assert.deepEqual(
    recorders.map(({ resets }) => resets.length),
    [1, 0, 1, 0, 1, 1],
  );
  const server = rawServer();
  server.events.onRequest = (received) => {
    received.onData = () => server.connection.close(0);
  };
  assert.deepEqual(server.send(headers(1, post, END_HEADERS), data(1, "x"), data(1, "y"), ping()), [
    "GOAWAY 1 NO_ERROR",
  ]);
  assert.deepEqual(server.events.requests[0]?.resets, ["NO_ERROR"]);
  assert.deepEqual(server.events.errors, []);
});

// The end of a connection.

test("a server drains in two steps: requests on their way are served, then the last one is named", () => {
  const peer = rawServer();
  peer.send(headers(1, get));
  peer.connection.drain();
  const answers = peer.send();
  assert.deepEqual(answers, ["GOAWAY 2147483647 NO_ERROR", "PING \0\0\0\0\0\0\0\x01"]);
  peer.send(headers(3, get));
  assert.equal(peer.events.requests.length, 2);
  assert.deepEqual(peer.send(ping("\0\0\0\0\0\0\0\x01", 1)), ["GOAWAY 3 NO_ERROR"]);
  assert.deepEqual(peer.send(headers(5, post, END_HEADERS), data(5, "x"), headers(5, [["x", "1"]]), rst(5, 8)), []);
  assert.equal(peer.events.requests.length, 2);
  for (const { stream } of peer.events.requests) {
    assert.equal(peer.events.drained, 0);
    stream.sendHead(200, list(), true);
  }
  peer.send();
  assert.equal(peer.events.drained, 1);
});

test("a server names its last stream although the peer does not answer the PING", () => {
  const peer = rawServer();
  peer.connection.drain();
  peer.send();
  peer.connection.sweep((peer.sink.time += 999));
  assert.deepEqual(peer.send(), []);
  peer.connection.sweep((peer.sink.time += 2));
  assert.deepEqual(peer.send(), ["GOAWAY 0 NO_ERROR"]);
  assert.equal(peer.events.drained, 1);
});

test("a client drains by opening no more streams", () => {
  const peer = rawClient();
  const recorder = new StreamRecorder();
  peer.connection.openStream(recorder, request, list(), true);
  peer.connection.drain();
  assert.equal(peer.connection.canOpenStream, false);
  peer.send();
  assert.equal(peer.events.drained, 0);
  peer.send(headers(1, [[":status", "204"]]));
  assert.equal(peer.events.drained, 1);
  assert.equal(recorder.head?.status, 204);
});

test("a server whose client says GOAWAY is drained when the streams are done", () => {
  const peer = rawServer();
  peer.send(headers(1, get), goaway(0, 0));
  assert.equal(peer.events.drained, 0);
  peer.events.requests[0]?.stream.sendHead(200, list(), true);
  peer.send();
  assert.equal(peer.events.drained, 1);
});

test("SETTINGS that are not acknowledged end the connection", () => {
  const peer = rawServer({ silent: true });
  peer.send();
  peer.connection.sweep((peer.sink.time += 10_000));
  assert.deepEqual(peer.send(), []);
  peer.connection.sweep((peer.sink.time += 1));
  assert.deepEqual(peer.send(), ["GOAWAY 0 SETTINGS_TIMEOUT"]);
});

test("CVE-2019-9511 and slow read: a stream whose window stays closed is reset in the end", () => {
  const peer = rawServer({ peerSettings: settings([4, 0]) });
  peer.send(headers(1, get));
  const received = peer.events.requests[0]!;
  received.stream.sendHead(200, list(), false);
  received.stream.sendData(Buffer.alloc(100), true);
  peer.send();
  peer.connection.sweep((peer.sink.time += 200_000));
  peer.send(windowUpdate(1, 1));
  peer.connection.sweep((peer.sink.time += 200_000));
  assert.deepEqual(peer.send(), [], "it moves, if slowly");
  peer.connection.sweep((peer.sink.time += 200_000));
  assert.deepEqual(peer.send(), ["RST_STREAM 1 ENHANCE_YOUR_CALM"]);
  assert.deepEqual(received.resets, ["ENHANCE_YOUR_CALM"]);
});

test("a peer that reads nothing at all loses the connection in the end", () => {
  const peer = rawServer();
  peer.sink.accepts = false;
  peer.send(ping());
  peer.connection.sweep((peer.sink.time += 300_001));
  assert.deepEqual(peer.events.errors, [["ENHANCE_YOUR_CALM", "the peer did not read"]]);
});

test("a PING of ours is outstanding until it is answered", () => {
  const peer = rawClient();
  peer.connection.ping();
  assert.deepEqual(peer.send(), ["PING \0\0\0\0\0\0\0\0"]);
  assert.equal(peer.connection.pingSentAt, peer.sink.time);
  peer.send(ping("\0\0\0\0\0\0\0\0", 1));
  assert.equal(peer.connection.pingSentAt, 0);
});

test("an idle connection lets go of its buffers and works on afterwards", () => {
  const peer = rawServer();
  peer.events.onRequest = ({ stream }) => {
    stream.sendHead(200, list(), false);
    stream.sendData(Buffer.alloc(1000, "x"), true);
  };
  for (let id = 1; id < 400; id += 2) {
    if (id % 50 === 1) for (let i = 0; i < 3; i++) peer.connection.sweep(peer.sink.time);
    const frames = peer.frames(headers(id, get), windowUpdate(0, 1000));
    assert.deepEqual(
      frames.map(({ type, streamId, payload }) => [type, streamId, payload.toString("latin1").replace(/x+/, "x")]),
      [
        ["HEADERS", id, "\x88"],
        ["DATA", id, "x"],
      ],
    );
  }
});

test("a header block that does not end is waited for only so long, a busy connection is not mistaken for one", () => {
  const slow = rawServer({ limits: { headTimeoutMs: 1000 } });
  slow.send(headers(1, get, 0));
  slow.connection.sweep(1000);
  slow.send(continuation(1, Buffer.from([0x40]), 0));
  slow.connection.sweep(2000);
  assert.equal(slow.connection.isClosed, false);
  slow.connection.sweep(2001);
  assert.deepEqual(slow.send(), ["GOAWAY 0 ENHANCE_YOUR_CALM"]);
  assert.deepEqual(slow.events.errors, [["ENHANCE_YOUR_CALM", "a header block that does not end"]]);
  const busy = rawServer({ limits: { headTimeoutMs: 1000 } });
  for (let time = 1000, stream = 1; time < 20_000; time += 500, stream += 2) {
    const bytes = headers(stream, get);
    busy.connection.receive(Buffer.from(bytes.subarray(0, 12)));
    busy.connection.sweep(time);
    busy.connection.receive(Buffer.from(bytes.subarray(12)));
  }
  assert.equal(busy.connection.isClosed, false);
});

test("a client opens no more streams at a time than it is told to, whatever the server bears", () => {
  const client = rawClient({ settings: { maxConcurrentStreams: 2 }, peerSettings: settings([3, 100]) });
  const open = (): boolean => client.connection.openStream(new StreamRecorder(), request, list(), true) !== null;
  assert.deepEqual([open(), open(), open()], [true, true, false]);
  assert.equal(client.connection.peerMaxStreams, 2);
});
