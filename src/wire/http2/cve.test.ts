// Known attacks on HTTP/2 codecs, each named after its CVE.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Headers } from "../http/headers.ts";
import {
  block,
  continuation,
  data,
  END_HEADERS,
  END_STREAM,
  type Field,
  frame,
  get,
  goaway,
  headers,
  ping,
  post,
  priority,
  rst,
  settings,
  windowUpdate,
} from "./testing/raw-frames.ts";
import { type RawPeer, rawClient, rawServer } from "./testing/raw-peer.ts";
import { StreamRecorder } from "./testing/recorder.ts";

const request = { method: "GET", scheme: "http", authority: "a.example", path: "/", protocol: "", status: 0 };
const calm = "ENHANCE_YOUR_CALM";

/** Sends what `attack` makes until the connection ends, and returns how often that was. */
function flood(peer: RawPeer, most: number, attack: (i: number) => Buffer): number {
  for (let i = 0; i < most; i++) {
    peer.send(attack(i));
    if (peer.connection.isClosed) {
      assert.deepEqual(
        peer.events.errors.map(([code]) => code),
        [calm],
      );
      return i + 1;
    }
  }
  return most;
}

test("CVE-2023-44487 Rapid Reset: streams that are opened and reset end the connection", () => {
  const peer = rawServer();
  const count = flood(peer, 1000, (i) => Buffer.concat([headers(2 * i + 1, get), rst(2 * i + 1, 8)]));
  assert.ok(count <= 251, `${count} resets`);
  assert.equal(peer.connection.activeStreams, 0);
  assert.ok(peer.events.requests.every(({ resets }) => resets[0] === "CANCEL by peer"));
});

test("CVE-2023-44487 the connection is drained before it is cut off", () => {
  const peer = rawServer();
  for (let i = 0; i < 190; i++) peer.send(headers(2 * i + 1, get), rst(2 * i + 1, 8));
  assert.ok(peer.connection.isDraining);
  assert.ok(!peer.connection.isClosed);
});

test("CVE-2023-44487 a peer that cancels now and then is served for ever", () => {
  const peer = rawServer();
  peer.events.onRequest = ({ stream }) => {
    if (stream.id % 6 !== 1) stream.sendHead(200, new Headers(), true);
  };
  const count = flood(peer, 5000, (i) => {
    const id = 2 * i + 1;
    return id % 6 === 1 ? Buffer.concat([headers(id, get), rst(id, 8)]) : headers(id, get);
  });
  assert.equal(count, 5000);
});

test("CVE-2023-44487 resets that are spread over time, or late, are borne", () => {
  const slow = rawServer();
  const spread = flood(slow, 2000, (i) => {
    slow.sink.time += 40;
    return Buffer.concat([headers(2 * i + 1, get), rst(2 * i + 1, 8)]);
  });
  assert.equal(spread, 2000);
  const late = rawServer();
  for (let i = 0; i < 2000; i++) {
    late.send(headers(2 * i + 1, get));
    late.sink.time += 1001;
    late.send(rst(2 * i + 1, 8));
  }
  assert.ok(!late.connection.isClosed);
});

const provoked: Readonly<Record<string, (id: number) => Buffer>> = {
  "a WINDOW_UPDATE of 0": (id) => windowUpdate(id, 0),
  "a window above 2^31-1": (id) => windowUpdate(id, 0x7fffffff),
  "DATA after the end": (id) => data(id, "x"),
  "HEADERS after the end": (id) => headers(id, [["x", "1"]]),
  "a PRIORITY of a wrong size": (id) => frame(2, 0, id, [0, 0, 0, 0]),
  "a stream that depends on itself": (id) => priority(id, id),
};
for (const [what, provoke] of Object.entries(provoked)) {
  test(`CVE-2025-8671 MadeYouReset: resets that are provoked by ${what} count`, () => {
    const peer = rawServer();
    const count = flood(peer, 1000, (i) => Buffer.concat([headers(2 * i + 1, get), provoke(2 * i + 1)]));
    assert.ok(count <= 251, `${count} resets`);
    assert.ok(peer.events.requests.every(({ resets }) => resets.length === 1));
  });
}

test("CVE-2025-8671 malformed requests count", () => {
  const count = flood(rawServer(), 1000, (i) => headers(2 * i + 1, [...get, ["X", "1"]]));
  assert.ok(count <= 251, `${count} requests`);
});

test("CVE-2024-27919 endless CONTINUATION frames stop at a number of bytes", () => {
  const peer = rawServer({ limits: { maxContinuationFrames: 1_000_000 } });
  peer.send(headers(1, get, END_STREAM));
  const count = flood(peer, 1000, () => continuation(1, block([["x", "y".repeat(16_000)]]), 0));
  assert.ok(count <= 8, `${count} frames of 16 KB`);
});

test("CVE-2024-30255 and CVE-2023-45288 endless CONTINUATION frames stop at a number of frames", () => {
  for (const payload of [Buffer.alloc(0), block([["x", "y"]])]) {
    const peer = rawServer();
    peer.send(headers(1, get, END_STREAM));
    assert.equal(
      flood(peer, 1000, () => continuation(1, payload, 0)),
      9,
    );
  }
});

test("CVE-2026-47774 crumbs of a cookie count, though each is one byte on the wire", () => {
  const peer = rawServer();
  // An entry of 3 KB for the table, then a block that names it 15000 times.
  const crumb = Buffer.concat([Buffer.from([0x60, 0x7f, 0xb9, 0x16]), Buffer.alloc(3000, "c")]);
  peer.send(frame(1, 5, 1, Buffer.concat([block(get), crumb])));
  assert.equal(peer.events.requests[0]?.head?.headers.get("cookie")?.length, 3000);
  const bomb = Buffer.concat([block(get), Buffer.alloc(15_000, 0xbe)]);
  assert.deepEqual(peer.send(frame(1, 5, 3, bomb)), [`RST_STREAM 3 ${calm}`]);
  assert.equal(peer.events.requests.length, 1);
  assert.equal(peer.events.tooLarge.length, 1);
});

test("CVE-2026-47774 the number of crumbs counts too", () => {
  const peer = rawServer();
  const crumbs: Field[] = Array.from({ length: 120 }, (_, i) => ["cookie", `a${i}=1`]);
  assert.deepEqual(peer.send(headers(1, [...get, ...crumbs])), [`RST_STREAM 1 ${calm}`]);
});

test("CVE-2026-73550 a host that is dropped counts", () => {
  const authority = "a".repeat(200);
  const fields: Field[] = [...get.slice(0, 3), [":authority", authority], ["host", authority]];
  const limit = fields.reduce((sum, [name, value]) => sum + name.length + value.length + 32, 0);
  const fits = rawServer({ limits: { maxHeaderBytes: limit } });
  fits.send(headers(1, fields));
  assert.equal(fits.events.requests.length, 1);
  const tight = rawServer({ limits: { maxHeaderBytes: limit - 1 } });
  assert.deepEqual(tight.send(headers(1, fields)), [`RST_STREAM 1 ${calm}`]);
});

test("a head above the limits can be answered", () => {
  const peer = rawServer({ limits: { maxHeaderCount: 10 } });
  peer.events.onTooLarge = (stream) => {
    stream.sendHead(431, new Headers(), false);
    stream.sendData(Buffer.from("too many"), true);
  };
  const many: Field[] = Array.from({ length: 10 }, (_, i) => [`x-${i}`, "1"]);
  assert.deepEqual(peer.send(headers(1, [...get, ...many])), ["HEADERS 1", "DATA 1 8 END"]);
  assert.deepEqual(peer.send(headers(3, [...post, ...many], END_HEADERS), data(3, "x")), [
    "HEADERS 3",
    "DATA 3 8 END",
    "RST_STREAM 3 NO_ERROR",
  ]);
  assert.equal(peer.connection.activeStreams, 0);
});

test("CVE-2019-9511 a window that is opened byte by byte ends the connection or is served in proportion", () => {
  const peer = rawServer({ peerSettings: settings([4, 0]) });
  peer.events.onRequest = ({ stream }) => {
    stream.sendHead(200, new Headers(), false);
    stream.sendData(Buffer.alloc(1_000_000), true);
  };
  peer.send(headers(1, get));
  // Every WINDOW_UPDATE lets one DATA frame out; those that let none out are the flood.
  assert.equal(
    flood(peer, 5000, () => windowUpdate(1, 1)),
    5000,
  );
  const other = rawServer();
  other.send(headers(1, get));
  const count = flood(other, 5000, () => windowUpdate(1, 1));
  assert.ok(count < 1100, `${count}`);
});

test("CVE-2019-9512 a flood of PING ends the connection", () => {
  const count = flood(rawServer(), 5000, () => ping());
  assert.ok(count < 1100, `${count}`);
});

test("a PING for each DATA frame is what gRPC does", () => {
  const peer = rawServer();
  peer.send(headers(1, post, END_HEADERS));
  assert.equal(
    flood(peer, 5000, () => Buffer.concat([data(1, "x"), ping()])),
    5000,
  );
});

test("CVE-2019-9513 a flood of PRIORITY ends the connection", () => {
  const count = flood(rawServer(), 5000, (i) => priority(1, 3 + 2 * (i % 50)));
  assert.ok(count < 1100, `${count}`);
});

test("CVE-2019-9515 a flood of SETTINGS ends the connection", () => {
  const count = flood(rawServer(), 5000, () => settings());
  assert.ok(count < 600, `${count}`);
});

test("CVE-2019-9516 headers without a name are malformed", () => {
  const count = flood(rawServer(), 1000, (i) => headers(2 * i + 1, [...get, ["", ""]]));
  assert.ok(count <= 251, `${count}`);
});

test("CVE-2019-9517 a peer that opens its window and does not read costs bounded memory", () => {
  const peer = rawServer({ peerSettings: settings([4, 0x7fffffff]) });
  peer.send(windowUpdate(0, 0x7fff0000 - 65535));
  peer.sink.accepts = false;
  const piece = Buffer.alloc(16384);
  let taken = 0;
  peer.events.onRequest = ({ stream }) => {
    stream.sendHead(200, new Headers(), false);
    while (stream.sendData(piece, false)) taken += piece.length;
  };
  let output = 0;
  for (let i = 0; i < 100; i++)
    output += peer.frames(headers(2 * i + 1, get)).reduce((sum, { payload }) => sum + payload.length, 0);
  assert.ok(taken <= 128 * 1024, `${taken} bytes were taken`);
  assert.ok(output <= 256 * 1024, `${output} bytes were written`);
});

for (const [what, attack] of Object.entries({
  PING: () => ping(),
  SETTINGS: () => settings(),
  "requests that are refused": (i: number) => headers(2 * i + 1, [...get, ["X", "1"]]),
})) {
  test(`CVE-2019-9512 to 9515 answers to ${what} do not queue without end while the peer does not read`, () => {
    // The score would end it sooner.
    const peer = rawServer({ limits: { maxAbuse: 1e9, drainAbuse: 0 } });
    peer.sink.accepts = false;
    peer.send(ping());
    assert.ok(flood(peer, 5000, attack) <= 1001);
  });
}

test("responses do not queue without end while the peer does not read", () => {
  const peer = rawServer();
  peer.events.onRequest = ({ stream }) => stream.sendHead(200, new Headers(), true);
  peer.sink.accepts = false;
  peer.send(ping());
  assert.equal(
    flood(peer, 20_000, (i) => headers(2 * i + 1, get)),
    10_001,
  );
});

for (const [what, attack] of Object.entries({
  DATA: () => data(1, ""),
  "padded DATA": () => frame(0, 8, 1, [3, 0, 0, 0]),
})) {
  test(`CVE-2019-9518 a flood of empty ${what} ends the connection`, () => {
    const peer = rawServer();
    peer.send(headers(1, post, END_HEADERS));
    assert.ok(flood(peer, 5000, attack) < 600);
  });
}

test("CVE-2019-9518 a flood of empty HEADERS ends the connection", () => {
  const peer = rawServer();
  const count = flood(peer, 5000, (i) =>
    Buffer.concat([frame(1, END_STREAM, 2 * i + 1), continuation(2 * i + 1, Buffer.alloc(0), END_HEADERS)]),
  );
  assert.ok(count < 300, `${count}`);
});

test("CVE-2021-32778 closing many streams costs the same for each", () => {
  const peer = rawServer({ settings: { maxConcurrentStreams: 200_000 } });
  const openAll = (first: number, count: number): Buffer =>
    Buffer.concat(Array.from({ length: count }, (_, i) => headers(first + 2 * i, get)));
  const time = (count: number, first: number): number => {
    const begin = process.cpuUsage();
    peer.send(openAll(first, count));
    for (const { stream } of peer.events.requests.splice(0)) stream.reset(8);
    peer.send();
    const { user, system } = process.cpuUsage(begin);
    return (user + system) / count;
  };
  time(2000, 1);
  const few = time(2000, 10_001);
  const many = time(60_000, 1_000_001);
  assert.equal(peer.connection.activeStreams, 0);
  assert.ok(many < few * 10, `${few} µs for each of few, ${many} µs for each of many`);
});

test("CVE-2021-32780 GOAWAY of a server and then SETTINGS without any stream drain the client", () => {
  const peer = rawClient();
  const recorder = new StreamRecorder();
  peer.connection.openStream(recorder, request, new Headers(), true);
  peer.send(goaway(1, 0), settings([3, 0]));
  assert.equal(peer.connection.canOpenStream, false);
  assert.deepEqual(recorder.resets, []);
  peer.send(headers(1, [[":status", "200"]]));
  assert.equal(recorder.head?.status, 200);
  assert.equal(peer.events.drained, 1);
});

test("CVE-2026-73513 trailers of a server that do not end the stream are an error of the stream", () => {
  const peer = rawClient();
  const recorder = new StreamRecorder();
  peer.connection.openStream(recorder, request, new Headers(), true);
  peer.sink.take();
  const answers = peer.send(
    headers(1, [[":status", "200"]], END_HEADERS),
    headers(1, [["grpc-status", "0"]], END_HEADERS),
  );
  assert.deepEqual(answers, ["RST_STREAM 1 PROTOCOL_ERROR"]);
  assert.deepEqual(recorder.resets, ["PROTOCOL_ERROR"]);
  assert.equal(recorder.trailers, null);
});

test("CVE-2026-26311 DATA for a stream that was reset is ignored, and its window given back", () => {
  const peer = rawServer();
  let bytes = 0;
  peer.events.onRequest = (received) => {
    received.onData = (chunk) => {
      bytes += chunk.length;
      // Reset in the middle of a frame whose rest is already here.
      received.stream.reset(8);
    };
  };
  const upload = [headers(1, post, END_HEADERS), data(1, Buffer.alloc(16384)), data(1, Buffer.alloc(16384))];
  assert.deepEqual(peer.send(...upload), ["RST_STREAM 1 CANCEL"]);
  assert.equal(bytes, 16384);
  let given = 0;
  for (let i = 0; i < 40; i++) {
    for (const answer of peer.send(data(1, Buffer.alloc(16384)))) given += Number(answer.split(" ")[2]);
  }
  assert.ok(given >= 512 * 1024, `${given}`);
  assert.ok(!peer.connection.isClosed);
});

test("DATA that never stops after a reset ends the connection", () => {
  const peer = rawServer();
  peer.events.onRequest = ({ stream }) => stream.reset(8);
  peer.send(headers(1, post, END_HEADERS));
  const count = flood(peer, 10_000, () => data(1, "xxxxxxxx"));
  assert.ok(count < 4000, `${count}`);
});

test("CVE-2026-21714 a window of the connection above 2^31-1 ends it and frees its streams", () => {
  const peer = rawServer();
  assert.deepEqual(peer.send(headers(1, get), headers(3, get), windowUpdate(0, 0x7fffffff)), [
    "GOAWAY 3 FLOW_CONTROL_ERROR",
  ]);
  assert.equal(peer.connection.activeStreams, 0);
  assert.deepEqual(
    peer.events.requests.map(({ resets }) => resets),
    [["FLOW_CONTROL_ERROR"], ["FLOW_CONTROL_ERROR"]],
  );
});

test("CVE-2025-59465 a large and invalid header block ends the connection without an exception", () => {
  const peer = rawServer();
  assert.deepEqual(peer.send(frame(1, 5, 1, Buffer.alloc(16384, 0xff))), ["GOAWAY 1 COMPRESSION_ERROR"]);
  assert.equal(peer.events.errors.length, 1);
});

test("CVE-2024-27983 a connection that is lost inside a header block, or with open streams, is cleaned up once", () => {
  const peer = rawServer();
  peer.send(headers(1, get), headers(3, get, END_STREAM), continuation(3, block([["x", "1"]]), 0));
  peer.connection.connectionLost();
  peer.connection.connectionLost();
  assert.deepEqual(peer.events.requests[0]?.resets, ["INTERNAL_ERROR by peer"]);
  assert.equal(peer.connection.activeStreams, 0);
  assert.deepEqual(peer.send(continuation(3, Buffer.alloc(0), END_HEADERS)), []);
  peer.events.requests[0]?.stream.sendHead(200, new Headers(), true);
  peer.events.requests[0]?.stream.reset(8);
  assert.deepEqual(peer.send(), []);
});

test("CVE-2026-48937 after GOAWAY of an error nothing is read any more", () => {
  const peer = rawServer();
  assert.deepEqual(peer.send(data(0, "x"), headers(1, get)), ["GOAWAY 0 PROTOCOL_ERROR"]);
  assert.deepEqual(peer.send(headers(3, get), ping()), []);
  assert.equal(peer.events.requests.length, 0);
});

test("CVE-2026-48619 ORIGIN frames without end are skipped, not kept, and at last refused", () => {
  const peer = rawClient();
  const origin = frame(0x0c, 0, 0, Buffer.alloc(16384, "o"));
  const before = process.memoryUsage().arrayBuffers;
  const count = flood(peer, 10_000, () => origin);
  assert.ok(count < 600, `${count}`);
  assert.ok(process.memoryUsage().arrayBuffers - before < 64 * 1024 * 1024);
});

test("CVE-2023-35944 the scheme is the same whatever its case", () => {
  const peer = rawServer();
  peer.send(
    headers(1, [
      [":method", "GET"],
      [":scheme", "HTTPs"],
      [":path", "/"],
      [":authority", "a.example"],
    ]),
  );
  assert.equal(peer.events.requests[0]?.head?.scheme, "https");
});
