// Every section of RFC 9113 that says MUST, against real bytes. A row is what the peer sends and what has to come of it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Headers } from "../http/headers.ts";
import { CLIENT_PREFACE } from "./frame.ts";
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
  settingsAck,
  uint32,
  windowUpdate,
} from "./testing/raw-frames.ts";
import { type RawPeer, rawClient, rawServer } from "./testing/raw-peer.ts";
import { StreamRecorder } from "./testing/recorder.ts";

const [DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION] = [
  0, 1, 2, 3, 4, 5, 6, 7, 8, 9,
];
const PADDED = 8;
const HAS_PRIORITY = 32;
const maxWindow = 0x7fffffff;

/** A stream that is open: its request has not ended. */
const open = headers(1, post, END_HEADERS);
/** A stream whose request has ended. */
const halfClosed = headers(1, get);
const ok: readonly Field[] = [[":status", "200"]];

interface Row {
  readonly rule: string;
  readonly bytes: readonly Buffer[];
  /** `connection CODE`, `stream ID CODE`, or what is said in words of frames; "" where nothing must happen. */
  readonly outcome: string;
}

function row(rule: string, outcome: string, ...bytes: readonly Buffer[]): Row {
  return { rule, bytes, outcome };
}

function check(peer: RawPeer, { bytes, outcome }: Row): void {
  const answers = peer.send(...bytes).filter((answer) => !answer.startsWith("WINDOW_UPDATE"));
  const [kind, ...rest] = outcome.split(" ");
  const goaways = answers.filter((answer) => answer.startsWith("GOAWAY"));
  const resets = answers.filter((answer) => answer.startsWith("RST_STREAM"));
  if (kind === "connection") {
    assert.deepEqual(
      goaways.map((answer) => answer.split(" ")[2]),
      rest,
    );
    assert.equal(peer.events.errors.length, 1);
    assert.deepEqual(peer.send(ping()), [], "nothing is done after the end of a connection");
    return;
  }
  assert.deepEqual(peer.events.errors, []);
  if (kind === "stream") assert.deepEqual(resets, [`RST_STREAM ${rest.join(" ")}`]);
  else assert.deepEqual([...goaways, ...resets], []);
  assert.deepEqual(peer.send(ping("still ok")), ["PING ACK still ok"], "the connection goes on");
}

const serverRows: readonly Row[] = [
  row("4.1 a frame of an unknown type is ignored", "", frame(0x16, 0xff, 0, [1, 2, 3]), frame(0xfa, 0, 5, [])),
  row("4.1 undefined flags are ignored", "", frame(PING, 0xfe, 0, Buffer.alloc(8)).fill(0xfe & ~1, 4, 5)),
  row(
    "4.1 the reserved bit is ignored",
    "",
    frame(WINDOW_UPDATE, 0, 0x80000000, uint32(5)),
    frame(HEADERS, END_STREAM | END_HEADERS, 0x80000001, block(get)),
  ),
  row("4.2 a frame may have 2^14 bytes", "", open, data(1, Buffer.alloc(16384))),
  row(
    "4.2 DATA above the allowed size ends the connection",
    "connection FRAME_SIZE_ERROR",
    open,
    data(1, Buffer.alloc(16385)),
  ),
  row(
    "4.2 HEADERS above the allowed size end the connection",
    "connection FRAME_SIZE_ERROR",
    frame(HEADERS, END_HEADERS | END_STREAM, 1, Buffer.alloc(16385)),
  ),
  row(
    "4.3 a header block that can't be decoded ends the connection",
    "connection COMPRESSION_ERROR",
    frame(HEADERS, 5, 1, [0x80]),
  ),
  row(
    "4.3 another frame inside a header block ends the connection",
    "connection PROTOCOL_ERROR",
    headers(1, get, END_STREAM),
    ping(),
  ),
  row(
    "4.3 HEADERS of another stream inside a header block end the connection",
    "connection PROTOCOL_ERROR",
    headers(1, get, END_STREAM),
    headers(3, get),
  ),
  row("5.1 DATA for an idle stream", "connection PROTOCOL_ERROR", data(1, "x")),
  row("5.1 RST_STREAM for an idle stream", "connection PROTOCOL_ERROR", rst(1, 8)),
  row("5.1 WINDOW_UPDATE for an idle stream", "connection PROTOCOL_ERROR", windowUpdate(1, 5)),
  row("5.1 CONTINUATION for an idle stream", "connection PROTOCOL_ERROR", continuation(1, block(get), END_HEADERS)),
  row("5.1 PRIORITY for an idle stream is allowed", "", priority(1, 3)),
  row("5.1 half-closed (remote): DATA", "stream 1 STREAM_CLOSED", halfClosed, data(1, "x")),
  row("5.1 half-closed (remote): HEADERS", "stream 1 STREAM_CLOSED", halfClosed, headers(1, [["x", "1"]])),
  row("5.1 half-closed (remote): CONTINUATION", "connection PROTOCOL_ERROR", halfClosed, continuation(1, block([]), 4)),
  row("5.1 half-closed (remote): WINDOW_UPDATE", "", halfClosed, windowUpdate(1, 5)),
  row("5.1 half-closed (remote): PRIORITY", "", halfClosed, priority(1, 0)),
  row("5.1 half-closed (remote): RST_STREAM", "", halfClosed, rst(1, 8)),
  row("5.1 closed by the peer's reset: DATA", "connection STREAM_CLOSED", open, rst(1, 8), data(1, "x")),
  row("5.1 closed by the peer's reset: HEADERS", "connection STREAM_CLOSED", open, rst(1, 8), headers(1, [["x", "1"]])),
  row(
    "5.1 closed by the peer's reset: RST_STREAM, WINDOW_UPDATE and PRIORITY",
    "",
    open,
    rst(1, 8),
    rst(1, 8),
    windowUpdate(1, 1),
    priority(1, 0),
  ),
  row(
    "5.1 closed by our reset: whatever was on its way is ignored",
    "stream 1 PROTOCOL_ERROR",
    open,
    windowUpdate(1, 0),
    data(1, "late"),
    headers(1, [["late", "trailers"]]),
    windowUpdate(1, 1),
    rst(1, 8),
    priority(1, 0),
  ),
  row("5.1.1 a client may not use even ids", "connection PROTOCOL_ERROR", headers(2, get)),
  row("5.1.1 ids only grow", "connection STREAM_CLOSED", headers(5, get), headers(3, get)),
  row("5.1.1 ids may be left out", "", headers(5, get), headers(99, get)),
  row(
    "5.3.1 a stream that depends on itself in HEADERS",
    "stream 1 PROTOCOL_ERROR",
    frame(HEADERS, 5 | HAS_PRIORITY, 1, Buffer.concat([uint32(1), Buffer.from([0]), block(get)])),
  ),
  row("5.3.1 a stream that depends on itself in PRIORITY", "stream 1 PROTOCOL_ERROR", open, priority(1, 1)),
  row(
    "5.5 an unknown frame inside a header block",
    "connection PROTOCOL_ERROR",
    headers(1, get, END_STREAM),
    frame(0x20, 0, 1, []),
  ),
  row("6.1 DATA on stream 0", "connection PROTOCOL_ERROR", data(0, "x")),
  row("6.1 DATA with padding", "", open, frame(DATA, PADDED | END_STREAM, 1, [3, 65, 66, 0, 0, 0])),
  row("6.1 DATA of nothing but padding", "", open, frame(DATA, PADDED | END_STREAM, 1, [3, 0, 0, 0])),
  row("6.1 padding as long as the payload", "connection PROTOCOL_ERROR", open, frame(DATA, PADDED, 1, [3, 0, 0])),
  row("6.1 padding longer than the payload", "connection PROTOCOL_ERROR", open, frame(DATA, PADDED, 1, [200, 0, 0])),
  row("6.1 a padded frame without a pad length", "connection FRAME_SIZE_ERROR", open, frame(DATA, PADDED, 1)),
  row("6.2 HEADERS on stream 0", "connection PROTOCOL_ERROR", headers(0, get)),
  row(
    "6.2 HEADERS with padding and priority",
    "",
    frame(
      HEADERS,
      5 | PADDED | HAS_PRIORITY,
      1,
      Buffer.concat([Buffer.from([2]), uint32(3), Buffer.from([0]), block(get), Buffer.alloc(2)]),
    ),
  ),
  row("6.2 padding longer than the block", "connection PROTOCOL_ERROR", frame(HEADERS, 5 | PADDED, 1, [9, 0x82, 0x86])),
  row("6.2 HEADERS without room for their pad length", "connection FRAME_SIZE_ERROR", frame(HEADERS, 5 | PADDED, 1)),
  row(
    "6.2 HEADERS without room for their priority",
    "connection FRAME_SIZE_ERROR",
    frame(HEADERS, 5 | HAS_PRIORITY, 1, [0, 0, 0]),
  ),
  row("6.3 PRIORITY on stream 0", "connection PROTOCOL_ERROR", priority(0, 1)),
  row("6.3 PRIORITY of another size than 5", "stream 1 FRAME_SIZE_ERROR", open, frame(PRIORITY, 0, 1, [0, 0, 0, 0])),
  row("6.4 RST_STREAM on stream 0", "connection PROTOCOL_ERROR", rst(0, 8)),
  row("6.4 RST_STREAM of another size than 4", "connection FRAME_SIZE_ERROR", open, frame(RST_STREAM, 0, 1, [0, 0, 8])),
  row(
    "6.5 a SETTINGS acknowledgement with a payload",
    "connection FRAME_SIZE_ERROR",
    frame(SETTINGS, 1, 0, Buffer.alloc(6)),
  ),
  row("6.5 SETTINGS on a stream", "connection PROTOCOL_ERROR", frame(SETTINGS, 0, 1, Buffer.alloc(6))),
  row(
    "6.5 SETTINGS of a size that is no multiple of 6",
    "connection FRAME_SIZE_ERROR",
    frame(SETTINGS, 0, 0, Buffer.alloc(7)),
  ),
  row("6.5.2 ENABLE_PUSH other than 0 and 1", "connection PROTOCOL_ERROR", settings([2, 2])),
  row("6.5.2 INITIAL_WINDOW_SIZE above 2^31-1", "connection FLOW_CONTROL_ERROR", settings([4, 0x80000000])),
  row("6.5.2 MAX_FRAME_SIZE below 2^14", "connection PROTOCOL_ERROR", settings([5, 16383])),
  row("6.5.2 MAX_FRAME_SIZE above 2^24-1", "connection PROTOCOL_ERROR", settings([5, 16777216])),
  row("6.5.2 an unknown setting is ignored", "", settings([0xff, 1])),
  row(
    "8.4 a client can't push",
    "connection PROTOCOL_ERROR",
    open,
    frame(PUSH_PROMISE, END_HEADERS, 1, Buffer.concat([uint32(2), block(get)])),
  ),
  row("6.7 PING on a stream", "connection PROTOCOL_ERROR", frame(PING, 0, 1, Buffer.alloc(8))),
  row("6.7 PING of another size than 8", "connection FRAME_SIZE_ERROR", frame(PING, 0, 0, Buffer.alloc(7))),
  row("6.8 GOAWAY on a stream", "connection PROTOCOL_ERROR", frame(GOAWAY, 0, 1, Buffer.alloc(8))),
  row("6.8 GOAWAY that is too short", "connection FRAME_SIZE_ERROR", frame(GOAWAY, 0, 0, Buffer.alloc(7))),
  row("6.9 WINDOW_UPDATE of another size than 4", "connection FRAME_SIZE_ERROR", frame(WINDOW_UPDATE, 0, 0, [0, 0, 1])),
  row("6.9 WINDOW_UPDATE of 0 for the connection", "connection PROTOCOL_ERROR", windowUpdate(0, 0)),
  row("6.9 WINDOW_UPDATE of 0 for a stream", "stream 1 PROTOCOL_ERROR", open, windowUpdate(1, 0)),
  row("6.9.1 a connection's window above 2^31-1", "connection FLOW_CONTROL_ERROR", windowUpdate(0, maxWindow)),
  row("6.9.1 a stream's window above 2^31-1", "stream 1 FLOW_CONTROL_ERROR", open, windowUpdate(1, maxWindow)),
  row(
    "6.9.2 SETTINGS that make a stream's window larger than 2^31-1",
    "connection FLOW_CONTROL_ERROR",
    open,
    windowUpdate(1, 100),
    settings([4, maxWindow]),
  ),
  row(
    "6.10 CONTINUATION on stream 0",
    "connection PROTOCOL_ERROR",
    headers(1, get, END_STREAM),
    frame(CONTINUATION, 4, 0),
  ),
  row(
    "6.10 CONTINUATION after END_HEADERS",
    "connection PROTOCOL_ERROR",
    open,
    continuation(1, block([["x", "1"]]), 4),
  ),
  row(
    "6.10 CONTINUATION for another stream",
    "connection PROTOCOL_ERROR",
    headers(1, get, END_STREAM),
    continuation(3, block([]), 4),
  ),
  row(
    "6.10 several CONTINUATION frames",
    "",
    frame(HEADERS, 1, 1, block(get).subarray(0, 5)),
    continuation(1, block(get).subarray(5, 9), 0),
    continuation(1, block(get).subarray(9), 4),
  ),
  row("7 unknown error codes mean nothing", "", open, rst(1, 0xabcdef), headers(3, get)),
  row("8.1 HEADERS in the middle of a message", "stream 1 PROTOCOL_ERROR", open, headers(1, [["x", "1"]], END_HEADERS)),
  row("8.1 trailers", "", open, data(1, "x"), headers(1, [["x-sum", "1"]])),
  row(
    "8.1.1 more content than content-length says",
    "stream 1 PROTOCOL_ERROR",
    headers(1, [...post, ["content-length", "2"]], END_HEADERS),
    data(1, "abc", END_STREAM),
  ),
  row(
    "8.1.1 more content than content-length says, in several frames",
    "stream 1 PROTOCOL_ERROR",
    headers(1, [...post, ["content-length", "4"]], END_HEADERS),
    data(1, "abc"),
    data(1, "de"),
  ),
  row(
    "8.1.1 less content than content-length says",
    "stream 1 PROTOCOL_ERROR",
    headers(1, [...post, ["content-length", "4"]], END_HEADERS),
    data(1, "abc", END_STREAM),
  ),
  row(
    "8.1.1 no content where content-length says some",
    "stream 1 PROTOCOL_ERROR",
    headers(1, [...post, ["content-length", "4"]]),
  ),
  row(
    "8.1.1 trailers before the length is reached",
    "stream 1 PROTOCOL_ERROR",
    headers(1, [...post, ["content-length", "4"]], END_HEADERS),
    data(1, "abc"),
    headers(1, [["x", "1"]]),
  ),
  row(
    "8.1.1 exactly the content that content-length says",
    "",
    headers(1, [...post, ["content-length", "4"]], END_HEADERS),
    data(1, "ab"),
    data(1, "cd", END_STREAM),
  ),
  row(
    "8.1.1 two content-lengths",
    "stream 1 PROTOCOL_ERROR",
    headers(1, [...post, ["content-length", "0"], ["content-length", "0"]]),
  ),
  row(
    "8.1.1 a content-length that is no number",
    "stream 1 PROTOCOL_ERROR",
    headers(1, [...post, ["content-length", "+3"]], END_HEADERS),
  ),
];

const malformed: Readonly<Record<string, readonly Field[]>> = {
  "8.2 upper case in a name": [...get, ["X-Upper", "1"]],
  "8.2.1 an empty name": [...get, ["", "1"]],
  "8.2.1 a space in a name": [...get, ["x y", "1"]],
  "8.2.1 a NUL in a name": [...get, ["x\0", "1"]],
  "8.2.1 a byte above 0x7f in a name": [...get, ["x\xe9", "1"]],
  "8.2.1 a colon in a name": [...get, ["x:y", "1"]],
  "8.2.1 a NUL in a value": [...get, ["x", "a\0b"]],
  "8.2.1 a CR in a value": [...get, ["x", "a\rb"]],
  "8.2.1 a LF in a value": [...get, ["x", "a\nb"]],
  "8.2.1 a space before a value": [...get, ["x", " a"]],
  "8.2.1 a tab before a value": [...get, ["x", "\ta"]],
  "8.2.1 a space after a value": [...get, ["x", "a "]],
  "8.2.1 a tab after a value": [...get, ["x", "a\t"]],
  "8.2.2 connection": [...get, ["connection", "close"]],
  "8.2.2 keep-alive": [...get, ["keep-alive", "5"]],
  "8.2.2 proxy-connection": [...get, ["proxy-connection", "close"]],
  "8.2.2 transfer-encoding": [...get, ["transfer-encoding", "chunked"]],
  "8.2.2 upgrade": [...get, ["upgrade", "websocket"]],
  "8.2.2 te other than trailers": [...get, ["te", "trailers, deflate"]],
  "8.3 an unknown pseudo-header": [...get, [":foo", "1"]],
  "8.3 a pseudo-header of responses": [...get, [":status", "200"]],
  "8.3 a pseudo-header after a header": [...get.slice(0, 3), ["x", "1"], [":authority", "a.example"]],
  "8.3 a pseudo-header in upper case": [[":METHOD", "GET"], ...get.slice(1)],
  "8.3.1 no :method": get.filter(([name]) => name !== ":method"),
  "8.3.1 no :scheme": get.filter(([name]) => name !== ":scheme"),
  "8.3.1 no :path": get.filter(([name]) => name !== ":path"),
  "8.3.1 :method twice": [...get, [":method", "GET"]],
  "8.3.1 :scheme twice": [...get, [":scheme", "http"]],
  "8.3.1 :path twice": [...get, [":path", "/"]],
  "8.3.1 :authority twice": [...get, [":authority", "a.example"]],
  "8.3.1 an empty :path": [...get.filter(([name]) => name !== ":path"), [":path", ""]],
  "8.3.1 a :path without a slash": [...get.filter(([name]) => name !== ":path"), [":path", "a"]],
  "8.3.1 a :path of * without OPTIONS": [...get.filter(([name]) => name !== ":path"), [":path", "*"]],
  "8.3.1 a space in :path": [...get.filter(([name]) => name !== ":path"), [":path", "/a b"]],
  "8.3.1 an empty :method": [...get.filter(([name]) => name !== ":method"), [":method", ""]],
  "8.3.1 a :method that is no token": [...get.filter(([name]) => name !== ":method"), [":method", "GE T"]],
  "8.3.1 user information in :authority": [...get.slice(0, 3), [":authority", "user@a.example"]],
  "8.3.1 a path in :authority": [...get.slice(0, 3), [":authority", "a.example/x"]],
  "8.3.1 a host that is not the :authority": [...get, ["host", "b.example"]],
  "8.3.1 a host that may not be an authority": [...get.slice(0, 3), ["host", "b.example/x"]],
  "8.3.1 two hosts": [...get.slice(0, 3), ["host", "b.example"], ["host", "b.example"]],
  "8.5 CONNECT with :path": [
    [":method", "CONNECT"],
    [":authority", "a.example:1"],
    [":path", "/"],
  ],
  "8.5 CONNECT with :scheme": [
    [":method", "CONNECT"],
    [":authority", "a.example:1"],
    [":scheme", "http"],
  ],
  "8.5 CONNECT without :authority": [[":method", "CONNECT"]],
  "RFC 8441 4 :protocol without CONNECT": [...get, [":protocol", "websocket"]],
  "RFC 8441 4 :protocol without :path": [
    [":method", "CONNECT"],
    [":protocol", "websocket"],
    [":scheme", "http"],
    [":authority", "a.example"],
  ],
};

const wellFormed: Readonly<Record<string, readonly Field[]>> = {
  "8.2.1 tabs, spaces and bytes above 0x7f inside a value": [...get, ["x", "a\t b\xe9c"]],
  "8.2.1 an empty value": [...get, ["x", ""]],
  "8.2.2 te: trailers": [...get, ["te", "trailers"]],
  "8.3.1 OPTIONS *": [
    [":method", "OPTIONS"],
    [":scheme", "http"],
    [":path", "*"],
    [":authority", "a.example"],
  ],
  "8.3.1 a host that is the :authority": [...get, ["host", "A.example"]],
  "8.3.1 a host in place of the :authority": [...get.slice(0, 3), ["host", "a.example:80"]],
  "8.3.1 an address of IPv6": [...get.slice(0, 3), [":authority", "[::1]:80"]],
  "8.5 CONNECT": [
    [":method", "CONNECT"],
    [":authority", "a.example:443"],
  ],
  "RFC 8441 4 extended CONNECT": [
    [":method", "CONNECT"],
    [":protocol", "websocket"],
    [":scheme", "http"],
    [":path", "/"],
    [":authority", "a.example"],
  ],
};

for (const each of serverRows) test(`RFC 9113 ${each.rule}`, () => check(rawServer(), each));

for (const each of serverRows) {
  test(`RFC 9113 ${each.rule}, byte by byte`, () => {
    const peer = rawServer();
    const bytes = Buffer.concat(each.bytes);
    for (let at = 0; at + 1 < bytes.length; at++) peer.connection.receive(Buffer.from(bytes.subarray(at, at + 1)));
    check(peer, { ...each, bytes: [bytes.subarray(bytes.length - 1)] });
  });
}

for (const [rule, fields] of Object.entries(malformed)) {
  test(`RFC 9113 ${rule} is malformed`, () => {
    const peer = rawServer();
    check(peer, row(rule, "stream 1 PROTOCOL_ERROR", headers(1, fields, END_HEADERS)));
    assert.equal(peer.events.requests.length, 0);
    assert.equal(peer.events.streamErrors.length, 1);
  });
}

for (const [rule, fields] of Object.entries(wellFormed)) {
  test(`RFC 9113 ${rule} is well-formed`, () => {
    const peer = rawServer();
    check(peer, row(rule, "", headers(1, fields)));
    assert.equal(peer.events.requests.length, 1);
  });
}

const malformedTrailers: readonly Field[] = [
  [":path", "/"],
  ["X-Upper", "1"],
  ["connection", "close"],
  ["x", "a\nb"],
];
for (const field of malformedTrailers) {
  test(`RFC 9113 8.1 trailers with ${JSON.stringify(field)} are malformed`, () => {
    check(rawServer(), row("", "stream 1 PROTOCOL_ERROR", open, headers(1, [field])));
  });
}

// The exchange of prefaces.

test("RFC 9113 3.4 a client's preface that is not HTTP/2's ends the connection", () => {
  const peer = rawServer({ silent: true });
  assert.deepEqual(peer.send(Buffer.from("GET / HTTP/1.1\r\n\r\n")).slice(-1), ["GOAWAY 0 PROTOCOL_ERROR"]);
});

test("RFC 9113 3.4 the preface may come in pieces", () => {
  const peer = rawServer({ silent: true });
  for (const byte of Buffer.concat([CLIENT_PREFACE, settings()])) peer.connection.receive(Buffer.from([byte]));
  assert.deepEqual(peer.events.errors, []);
  assert.equal(peer.events.settings, 1);
});

for (const [what, first] of [
  ["PING", ping()],
  ["a SETTINGS acknowledgement", settingsAck],
] as const) {
  test(`RFC 9113 3.4 a server's preface that begins with ${what} ends the connection`, () => {
    const peer = rawClient({ silent: true });
    peer.sink.take();
    assert.deepEqual(peer.send(Buffer.from(first)).slice(-1), ["GOAWAY 0 PROTOCOL_ERROR"]);
  });
  test(`RFC 9113 3.4 ${what} in place of the client's SETTINGS ends the connection`, () => {
    const peer = rawServer({ silent: true });
    assert.deepEqual(peer.send(CLIENT_PREFACE, first).slice(-1), ["GOAWAY 0 PROTOCOL_ERROR"]);
  });
}

test("RFC 9113 3.4 each side begins with SETTINGS, the client after its preface", () => {
  assert.deepEqual(rawServer({ silent: true }).send()[0], "SETTINGS");
  const client = rawClient({ silent: true });
  const bytes = client.sink.take();
  assert.equal(bytes.subarray(0, 24).toString("latin1"), "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  assert.equal(bytes[24 + 3], SETTINGS);
});

// A client, whose server is the test.

const request = { method: "GET", scheme: "http", authority: "a.example", path: "/", protocol: "", status: 0 };

function clientWithRequest(method = "GET"): { peer: RawPeer; recorder: StreamRecorder } {
  const peer = rawClient();
  const recorder = new StreamRecorder();
  peer.connection.openStream(recorder, { ...request, method }, new Headers(), true);
  peer.sink.take();
  return { peer, recorder };
}

const clientRows: readonly Row[] = [
  row("5.1 DATA before the head of a response", "stream 1 PROTOCOL_ERROR", data(1, "x")),
  row("5.1 HEADERS for a stream that we did not open", "connection PROTOCOL_ERROR", headers(3, ok)),
  row("5.1.1 HEADERS that open a stream from the server", "connection PROTOCOL_ERROR", headers(2, ok)),
  row("5.1 closed: DATA after both ends", "connection STREAM_CLOSED", headers(1, ok), data(1, "x")),
  row("5.1 closed: HEADERS after both ends", "connection STREAM_CLOSED", headers(1, ok), headers(1, ok)),
  row("5.1 closed: WINDOW_UPDATE and RST_STREAM after both ends", "", headers(1, ok), windowUpdate(1, 1), rst(1, 0)),
  row("6.5.2 a server may not set ENABLE_PUSH to 1", "connection PROTOCOL_ERROR", settings([2, 1])),
  row("6.5.2 a server may set ENABLE_PUSH to 0", "", settings([2, 0])),
  row(
    "6.6 PUSH_PROMISE after we refused pushes",
    "connection PROTOCOL_ERROR",
    frame(PUSH_PROMISE, END_HEADERS, 1, Buffer.concat([uint32(2), block(get)])),
  ),
  row("8.1 an informational head that ends the stream", "stream 1 PROTOCOL_ERROR", headers(1, [[":status", "103"]])),
  row("8.1 a head after the final one", "stream 1 PROTOCOL_ERROR", headers(1, ok, END_HEADERS), headers(1, ok)),
  row(
    "8.1 trailers that do not end the stream",
    "stream 1 PROTOCOL_ERROR",
    headers(1, ok, END_HEADERS),
    headers(1, [["x", "1"]], END_HEADERS),
  ),
  row(
    "8.1.1 less content than content-length says",
    "stream 1 PROTOCOL_ERROR",
    headers(1, [...ok, ["content-length", "3"]], END_HEADERS),
    data(1, "ab", END_STREAM),
  ),
  row(
    "8.1.1 more content than content-length says",
    "stream 1 PROTOCOL_ERROR",
    headers(1, [...ok, ["content-length", "1"]], END_HEADERS),
    data(1, "ab"),
  ),
  row("8.1.1 content-length without content", "stream 1 PROTOCOL_ERROR", headers(1, [...ok, ["content-length", "1"]])),
  row(
    "8.1.1 a 304 may say a length without content",
    "",
    headers(1, [
      [":status", "304"],
      ["content-length", "9"],
    ]),
  ),
  row(
    "8.1.1 a 204 has no content",
    "stream 1 PROTOCOL_ERROR",
    headers(1, [[":status", "204"]], END_HEADERS),
    data(1, "x", END_STREAM),
  ),
  row("8.3.2 no :status", "stream 1 PROTOCOL_ERROR", headers(1, [["x", "1"]])),
  row("8.3.2 :status twice", "stream 1 PROTOCOL_ERROR", headers(1, [...ok, ...ok])),
  row("8.3.2 a :status of two digits", "stream 1 PROTOCOL_ERROR", headers(1, [[":status", "20"]])),
  row("8.3.2 a :status that is no number", "stream 1 PROTOCOL_ERROR", headers(1, [[":status", "2x0"]])),
  row("8.3.2 a :status below 100", "stream 1 PROTOCOL_ERROR", headers(1, [[":status", "099"]])),
  row("8.3.2 a pseudo-header of requests", "stream 1 PROTOCOL_ERROR", headers(1, [...ok, [":path", "/"]])),
  row("8.6 there is no 101", "stream 1 PROTOCOL_ERROR", headers(1, [[":status", "101"]], END_HEADERS)),
  row("8.2 upper case in a name", "stream 1 PROTOCOL_ERROR", headers(1, [...ok, ["X", "1"]])),
  row("8.2.2 connection", "stream 1 PROTOCOL_ERROR", headers(1, [...ok, ["connection", "close"]])),
];
for (const each of clientRows) {
  test(`RFC 9113 client: ${each.rule}`, () => {
    const { peer, recorder } = clientWithRequest();
    check(peer, each);
    const failed = each.outcome.startsWith("stream") || (each.outcome !== "" && recorder.head === null);
    assert.equal(recorder.resets.length, failed ? 1 : 0);
  });
}

test("RFC 9113 8.1 informational heads come before the final one", () => {
  const { peer, recorder } = clientWithRequest();
  peer.send(
    headers(1, [[":status", "103"]], END_HEADERS),
    headers(1, [[":status", "100"]], END_HEADERS),
    headers(1, ok),
  );
  assert.deepEqual(recorder.informational, [103, 100]);
  assert.equal(recorder.head?.status, 200);
});

test("RFC 9113 8.1.1 a response to HEAD may say a length, and has no content", () => {
  const first = clientWithRequest("HEAD");
  first.peer.send(headers(1, [...ok, ["content-length", "9"]]));
  assert.deepEqual(first.recorder.resets, []);
  assert.ok(first.recorder.isEnd);
  const second = clientWithRequest("HEAD");
  assert.deepEqual(second.peer.send(headers(1, ok, END_HEADERS), data(1, "x", END_STREAM)), [
    "RST_STREAM 1 PROTOCOL_ERROR",
  ]);
});

test("RFC 9113 8.2.3 crumbs of a cookie become one line", () => {
  const peer = rawServer();
  peer.send(headers(1, [...get, ["cookie", "a=1"], ["x", "y"], ["cookie", "b=2"], ["cookie", "c=3"]]));
  assert.equal(peer.events.requests[0]?.head?.headers.get("cookie"), "a=1; b=2; c=3");
});

test("RFC 9113 8.3.1 a host that agrees with the :authority is dropped", () => {
  const peer = rawServer();
  peer.send(headers(1, [...get, ["host", "a.example"]]));
  const head = peer.events.requests[0]?.head;
  assert.equal(head?.authority, "a.example");
  assert.equal(head?.headers.has("host"), false);
});

test("RFC 8441 3 :protocol is malformed where extended CONNECT was not announced", () => {
  const peer = rawServer({ settings: { enableConnectProtocol: false } });
  const fields = wellFormed["RFC 8441 4 extended CONNECT"] as readonly Field[];
  assert.deepEqual(peer.send(headers(1, fields)), ["RST_STREAM 1 PROTOCOL_ERROR"]);
});

test("RFC 8441 3 the announcement of extended CONNECT is heard, and not taken back", () => {
  const peer = rawClient();
  peer.send(settings([8, 1]));
  assert.ok(peer.connection.peerAllowsExtendedConnect);
  assert.deepEqual(peer.send(settings([8, 0])), ["GOAWAY 0 PROTOCOL_ERROR"]);
});

// Answers that are asked for.

test("RFC 9113 6.5.3 SETTINGS are acknowledged at once and in order", () => {
  const peer = rawServer();
  assert.deepEqual(peer.send(settings([4, 1]), ping("a hello!"), settings()), [
    "SETTINGS ACK",
    "PING ACK a hello!",
    "SETTINGS ACK",
  ]);
});

test("RFC 9113 6.7 PING is answered with the same payload, and an answer is not answered", () => {
  const peer = rawServer();
  assert.deepEqual(peer.send(ping("ABCDEFGH")), ["PING ACK ABCDEFGH"]);
  assert.deepEqual(peer.send(ping("ABCDEFGH", 1)), []);
});

test("RFC 9113 6.8 GOAWAY of an error names the last stream that was seen", () => {
  const peer = rawServer();
  assert.deepEqual(peer.send(headers(7, get), data(0, "x")), ["GOAWAY 7 PROTOCOL_ERROR"]);
});

test("RFC 9113 6.8 streams above the last one of GOAWAY may be tried elsewhere, the others go on", () => {
  const peer = rawClient();
  const recorders = [1, 3, 5].map(() => new StreamRecorder());
  for (const recorder of recorders) peer.connection.openStream(recorder, request, new Headers(), true);
  peer.send(goaway(3, 0));
  assert.deepEqual(
    recorders.map((recorder) => recorder.resets),
    [[], [], ["REFUSED_STREAM by peer"]],
  );
  assert.deepEqual(peer.events.goaways, [[3, "NO_ERROR"]]);
  assert.equal(peer.connection.canOpenStream, false);
  assert.equal(peer.connection.openStream(new StreamRecorder(), request, new Headers(), true), null);
  peer.send(headers(1, ok));
  assert.equal(peer.events.drained, 0);
  peer.send(headers(3, ok));
  assert.equal(recorders[1]?.head?.status, 200);
  assert.equal(peer.events.drained, 1);
});

test("RFC 9113 5.1.2 a server refuses streams above its limit and serves them later", () => {
  const peer = rawServer({ settings: { maxConcurrentStreams: 2 } });
  assert.deepEqual(peer.send(headers(1, get), headers(3, get), headers(5, get)), ["RST_STREAM 5 REFUSED_STREAM"]);
  peer.events.requests[0]?.stream.sendHead(200, new Headers(), true);
  assert.deepEqual(peer.send(headers(7, get)), ["HEADERS 1 END"]);
  assert.equal(peer.events.requests.length, 3);
});

test("RFC 9113 5.1.2 a client opens no more streams than the server allows", () => {
  const peer = rawClient({ peerSettings: settings([3, 1]) });
  assert.ok(peer.connection.openStream(new StreamRecorder(), request, new Headers(), true) !== null);
  assert.equal(peer.connection.canOpenStream, false);
  peer.send(headers(1, ok));
  assert.equal(peer.connection.canOpenStream, true);
});

// Flow control.

test("RFC 9113 6.9.1 DATA obeys the windows of the stream and of the connection", () => {
  const peer = rawServer({ peerSettings: settings([4, 10]) });
  peer.events.onRequest = ({ stream }) => {
    stream.sendHead(200, new Headers(), false);
    stream.sendData(Buffer.alloc(100_000), true);
  };
  assert.deepEqual(peer.send(headers(1, get)), ["HEADERS 1", "DATA 1 10"]);
  assert.deepEqual(peer.send(windowUpdate(1, 5)), ["DATA 1 5"]);
  assert.deepEqual(peer.send(windowUpdate(1, 1_000_000)), [
    "DATA 1 16384",
    "DATA 1 16384",
    "DATA 1 16384",
    `DATA 1 ${65535 - 15 - 3 * 16384}`,
  ]);
  assert.deepEqual(peer.send(windowUpdate(0, 100_000)), [
    "DATA 1 16384",
    "DATA 1 16384",
    `DATA 1 ${100_000 - 65535 - 2 * 16384} END`,
  ]);
});

test("RFC 9113 6.9.1 content beyond the connection's window ends the connection", () => {
  const peer = rawServer({ settings: { connectionWindow: 65535, streamWindow: 1 << 20 } });
  peer.events.onRequest = ({ stream }) => stream.pauseReading();
  const chunk = data(1, Buffer.alloc(16384));
  assert.deepEqual(peer.send(open, chunk, chunk, chunk, chunk), ["GOAWAY 1 FLOW_CONTROL_ERROR"]);
});

test("RFC 9113 6.9.1 content beyond the stream's window ends the stream", () => {
  const peer = rawServer({ settings: { streamWindow: 65535 } });
  peer.events.onRequest = ({ stream }) => stream.pauseReading();
  const chunk = data(1, Buffer.alloc(16384));
  assert.deepEqual(peer.send(open, chunk, chunk, chunk, chunk), ["RST_STREAM 1 FLOW_CONTROL_ERROR"]);
});

test("RFC 9113 6.9.2 a change of the initial window moves the windows of open streams, below zero too", () => {
  const peer = rawServer({ peerSettings: settings([4, 10]) });
  peer.events.onRequest = ({ stream }) => {
    stream.sendHead(200, new Headers(), false);
    stream.sendData(Buffer.alloc(100), true);
  };
  peer.send(headers(1, get));
  assert.deepEqual(peer.send(settings([4, 3])), ["SETTINGS ACK"]);
  assert.deepEqual(peer.send(windowUpdate(1, 7)), [], "the window is 0 now");
  assert.deepEqual(peer.send(windowUpdate(1, 2)), ["DATA 1 2"]);
  assert.deepEqual(peer.send(settings([4, 4])), ["SETTINGS ACK", "DATA 1 1"]);
});

test("RFC 9113 6.9 an empty frame that ends a stream needs no window", () => {
  const peer = rawServer({ peerSettings: settings([4, 0]) });
  peer.events.onRequest = ({ stream }) => {
    stream.sendHead(200, new Headers(), false);
    stream.sendData(Buffer.alloc(0), true);
  };
  assert.deepEqual(peer.send(headers(1, get)), ["HEADERS 1", "DATA 1 0 END"]);
});

test("RFC 9113 6.9 padding counts against the windows, and is given back with the content", () => {
  const peer = rawServer({ settings: { streamWindow: 65535, connectionWindow: 65535 } });
  const padded = frame(DATA, PADDED, 1, Buffer.concat([Buffer.from([255]), Buffer.alloc(355)]));
  let given = 0;
  for (let i = 0; i < 400; i++) {
    for (const answer of peer.send(i === 0 ? Buffer.concat([open, padded]) : padded)) {
      if (answer.startsWith("WINDOW_UPDATE 0")) given += Number(answer.split(" ")[2]);
    }
  }
  assert.deepEqual(peer.events.errors, []);
  assert.ok(given >= 356 * 400 - 65535, `${given}`);
});

test("RFC 9113 4.3 the peer's largest frame is obeyed by header blocks", () => {
  const peer = rawServer();
  peer.events.onRequest = ({ stream }) => {
    const list = new Headers();
    list.add("x", "y".repeat(40_000));
    stream.sendHead(200, list, true);
  };
  const frames = peer.frames(headers(1, get));
  assert.deepEqual(
    frames.map(({ type, flags, payload }) => `${type} ${flags} ${payload.length <= 16384}`),
    ["HEADERS 1 true", "CONTINUATION 0 true", "CONTINUATION 4 true"],
  );
});

// What we send.

test("RFC 9113 4.1 undefined flags and the reserved bit are never set", () => {
  const known: Readonly<Record<string, number>> = {
    DATA: END_STREAM,
    HEADERS: END_STREAM | END_HEADERS,
    RST_STREAM: 0,
    SETTINGS: 1,
    PING: 1,
    GOAWAY: 0,
    WINDOW_UPDATE: 0,
    CONTINUATION: END_HEADERS,
  };
  const peer = rawServer({ silent: true });
  peer.events.onRequest = ({ stream }) => {
    const list = new Headers();
    list.add("x", "y".repeat(40_000));
    stream.sendHead(200, list, false);
    stream.sendData(Buffer.from("ok"), true);
  };
  const chunk = Buffer.alloc(16384);
  const sent = peer.frames(
    Buffer.from(CLIENT_PREFACE),
    settings(),
    settingsAck,
    ping(),
    headers(1, get),
    headers(3, post, END_HEADERS),
    ...Array.from({ length: 20 }, () => data(3, chunk)),
    headers(5, [...get, ["X", "1"]]),
    data(0, "x"),
  );
  assert.deepEqual([...new Set(sent.map(({ type }) => type))].sort(), Object.keys(known).sort());
  for (const { type, flags, streamId } of sent) {
    assert.equal(flags & ~(known[type] ?? 0), 0, type);
    assert.equal(streamId & 0x80000000, 0, type);
  }
});

test("RFC 9113 4.3.1 a smaller table of the peer is taken up in the next block, before its first field", () => {
  const peer = rawServer();
  peer.events.onRequest = ({ stream }) => stream.sendHead(200, new Headers(), true);
  peer.send(headers(1, get));
  const [, block] = peer.frames(settings([1, 0]), headers(3, get));
  assert.equal(block?.type, "HEADERS");
  // RFC 7541 6.3: 001, and the new size.
  assert.equal(block?.payload[0], 0x20);
});

test("RFC 9113 4.3.1 a size above the one that we allow is an error of compression", () => {
  const peer = rawServer({ settings: { headerTableSize: 100 } });
  const larger = Buffer.concat([Buffer.from([0x3f, 101 - 31]), block(get)]);
  assert.deepEqual(peer.send(frame(HEADERS, END_STREAM | END_HEADERS, 1, larger)), ["GOAWAY 1 COMPRESSION_ERROR"]);
});

test("RFC 9113 5.2.1 only DATA waits for windows", () => {
  const peer = rawServer({ peerSettings: settings([4, 0]) });
  peer.events.onRequest = ({ stream }) => {
    stream.sendHead(200, new Headers(), false);
    if (stream.id === 1) stream.sendData(Buffer.from("waits"), true);
    else stream.sendTrailers(new Headers());
  };
  assert.deepEqual(peer.send(headers(1, get), headers(3, get), ping()), [
    "HEADERS 1",
    "HEADERS 3",
    "HEADERS 3 END",
    "PING ACK 12345678",
  ]);
});

test("RFC 9113 5.2.2 bytes that are taken are told, so that nobody waits for ever", () => {
  const peer = rawServer({ settings: { streamWindow: 65535, connectionWindow: 65535 } });
  peer.send(open);
  const windows = { stream: 65535, connection: 65535 };
  for (let i = 0; i < 100; i++) {
    windows.stream -= 16384;
    windows.connection -= 16384;
    for (const answer of peer.send(data(1, Buffer.alloc(16384)))) {
      const [, streamId, increment] = answer.split(" ");
      if (streamId === "1") windows.stream += Number(increment);
      else windows.connection += Number(increment);
    }
    assert.ok(windows.stream >= 16384 && windows.connection >= 16384, `after ${i} frames`);
  }
});

test("RFC 9113 5.4.1 after an error of the connection nothing follows GOAWAY, and the owner is told to close", () => {
  const peer = rawServer();
  peer.events.onRequest = ({ stream }) => stream.sendHead(200, new Headers(), false);
  assert.deepEqual(peer.send(headers(1, get), data(0, "x")).at(-1), "GOAWAY 1 PROTOCOL_ERROR");
  peer.events.requests[0]?.stream.sendData(Buffer.from("late"), true);
  assert.deepEqual(peer.send(ping()), []);
  assert.equal(peer.events.errors.length, 1);
});

test("RFC 9113 5.4.2 RST_STREAM is never answered with RST_STREAM", () => {
  const peer = rawServer();
  peer.events.onRequest = (received) => {
    received.onReset = () => received.stream.reset(8);
  };
  assert.deepEqual(peer.send(open, rst(1, 2)), []);
  assert.deepEqual(peer.send(rst(1, 2)), []);
});

test("RFC 9113 5.4.3 streams of a lost connection may have been served and are not called refused", () => {
  const peer = rawClient();
  const recorder = new StreamRecorder();
  peer.connection.openStream(recorder, request, new Headers(), true);
  peer.connection.connectionLost();
  assert.deepEqual(recorder.resets, ["INTERNAL_ERROR by peer"]);
});

test("RFC 9113 6.8 the last stream of our GOAWAY only falls, and blocks of later streams still build the table", () => {
  const peer = rawServer();
  peer.send(headers(1, post, END_HEADERS));
  peer.connection.drain();
  const first = peer.send();
  const second = peer.send(ping("\0\0\0\0\0\0\0\x01", 1), data(1, ""));
  assert.match(first.join(), /^GOAWAY 2147483647 NO_ERROR,PING /);
  assert.deepEqual(second, ["GOAWAY 1 NO_ERROR"]);
  // An entry that a stream adds which is not served, and one that names it.
  const adds = Buffer.concat([block(get), Buffer.from([0x40, 1, 120, 1, 121])]);
  assert.deepEqual(peer.send(frame(HEADERS, END_STREAM | END_HEADERS, 3, adds)), []);
  peer.send(frame(HEADERS, END_STREAM | END_HEADERS, 1, [0xbe]));
  assert.deepEqual(peer.events.requests[0]?.trailers, [["x", "y"]]);
});

const connect = { method: "CONNECT", scheme: "", authority: "a.example:1", path: "", protocol: "", status: 0 };
const connectFields: readonly Field[] = [
  [":method", "CONNECT"],
  [":authority", "a.example:1"],
];

test("RFC 9113 8.5 in a tunnel HEADERS are an error of the stream, before it they are not", () => {
  const server = rawServer();
  server.send(headers(1, connectFields, END_HEADERS));
  server.events.requests[0]?.stream.sendHead(200, new Headers(), false);
  assert.deepEqual(server.send(data(1, "bytes"), headers(1, [["x-sum", "1"]])), [
    "HEADERS 1",
    "RST_STREAM 1 PROTOCOL_ERROR",
  ]);
  const client = rawClient();
  const [tunnel, refused] = [new StreamRecorder(), new StreamRecorder()];
  client.connection.openStream(tunnel, connect, new Headers(), false);
  client.connection.openStream(refused, connect, new Headers(), false);
  client.send();
  const ends = (streamId: number): Buffer => headers(streamId, [["x-sum", "1"]]);
  assert.deepEqual(client.send(headers(1, ok, END_HEADERS), data(1, "bytes"), ends(1)), [
    "RST_STREAM 1 PROTOCOL_ERROR",
  ]);
  assert.deepEqual(client.send(headers(3, [[":status", "403"]], END_HEADERS), ends(3)), []);
  assert.deepEqual(refused.trailers, [["x-sum", "1"]]);
});

test("RFC 9110 9.3.6 a length in front of a tunnel says nothing", () => {
  const peer = rawClient();
  const recorder = new StreamRecorder();
  peer.connection.openStream(recorder, connect, new Headers(), false);
  peer.send();
  const answers = peer.send(headers(1, [...ok, ["content-length", "2"]], END_HEADERS), data(1, "many bytes"));
  assert.deepEqual(answers, []);
  assert.equal(recorder.body, "many bytes");
});

test("RFC 9113 8.7 what a GOAWAY or REFUSED_STREAM leaves out is told apart from what may have been served", () => {
  const peer = rawClient();
  const recorders = [1, 3, 5].map(() => new StreamRecorder());
  for (const recorder of recorders) peer.connection.openStream(recorder, request, new Headers(), true);
  peer.send(rst(1, 7), rst(3, 2), goaway(3, 0));
  assert.deepEqual(
    recorders.map(({ resets }) => resets),
    [["REFUSED_STREAM by peer"], ["INTERNAL_ERROR by peer"], ["REFUSED_STREAM by peer"]],
  );
});

test("RFC 9113 10.5.1 a header block that we do not serve still builds the table", () => {
  const peer = rawServer({ limits: { maxHeaderCount: 6 } });
  peer.events.onTooLarge = (stream) => stream.sendHead(431, new Headers(), true);
  const fields = Array.from({ length: 6 }, (_, i) => Buffer.from([0x40, 1, 97 + i, 1, 121]));
  peer.send(frame(HEADERS, END_STREAM | END_HEADERS, 1, Buffer.concat([block(get), ...fields])));
  assert.equal(peer.events.tooLarge.length, 1);
  peer.send(frame(HEADERS, END_STREAM | END_HEADERS, 3, Buffer.concat([block(get), Buffer.from([0xbe])])));
  assert.equal(peer.events.requests[0]?.head?.headers.get("f"), "y");
});
