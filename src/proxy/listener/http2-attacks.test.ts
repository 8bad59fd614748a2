// Attacks on HTTP/2 by name, over real sockets and through the real data path. In each the attacker is cut off after a
// bounded number of bytes, a client on a connection of its own sees nothing of it, and nothing is left behind. The
// codec's own limits, one by one and to the frame, are in wire/http2/cve.test.ts. The clock is the test's: it stands
// still, so that no score decays on a slow machine.
import assert from "node:assert/strict";
import type { ClientHttp2Session } from "node:http2";
import { after, before, test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { ManualClock } from "#base/time/clock.ts";
import { CLIENT_PREFACE } from "#wire/http2/frame.ts";
import {
  block,
  continuation,
  data,
  END_HEADERS,
  END_STREAM,
  type Field,
  frame,
  get,
  headers,
  ping,
  post,
  priority,
  rst,
  settings,
  settingsAck,
  windowUpdate,
} from "#wire/http2/testing/raw-frames.ts";
import type { HttpConnectionManagerConfig } from "../config/http.ts";
import {
  chain,
  clusterOn,
  dataPath,
  forward,
  httpFilter,
  httpServer,
  listenerConfig,
  managerConfig,
  routeEntry,
  type TestDataPath,
} from "./testing/data-path.ts";
import { askHttp2, http2Session, press, rawHttp2Client } from "./testing/http2-peers.ts";
import { RawClient } from "./testing/raw-peers.ts";
import { elapsed, until } from "./testing/requests.ts";

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

const megabyte = 1024 * 1024;
const delayedCloseTimeoutMs = 1000;

interface Target {
  readonly path: TestDataPath;
  readonly clock: ManualClock;
  /** Requests that the server got. */
  served(): number;
  /** Bytes that the server's answers to /big were taken for. */
  taken(): number;
  stop(): void;
}

/** A proxy before a server that answers `/`, does not answer `/hang`, and answers `/big` with what is taken of 64 MB. */
async function target(overrides: Partial<HttpConnectionManagerConfig> = {}): Promise<Target> {
  let served = 0;
  let taken = 0;
  const chunk = Buffer.alloc(64 * 1024, "x");
  const server = await httpServer((req, res) => {
    served++;
    if (req.url === "/hang") return;
    if (req.url !== "/big") return void res.end("ok");
    let sent = 0;
    const more = (): void => {
      while (!res.destroyed && sent < 64 * megabyte) {
        sent += chunk.length;
        taken += chunk.length;
        if (!res.write(chunk)) return;
      }
    };
    res.on("drain", more);
    more();
  });
  const clock = new ManualClock(1_000_000);
  const path = dataPath({ clock, now: () => clock.now(), sweepMs: 250 });
  path.clusters.update(clusterOn("app", [server.port]));
  const config = managerConfig([routeEntry("/", forward("app"))], { delayedCloseTimeoutMs, ...overrides });
  await path.listeners.update(listenerConfig([chain([httpFilter(config)])]));
  const stop = (): void => {
    path.stop();
    server.stop();
  };
  return { path, clock, served: () => served, taken: () => taken, stop };
}

let shared: Target;
let bystander: ClientHttp2Session;

before(async () => {
  shared = await target();
  bystander = http2Session(shared.path.port());
});
after(() => {
  bystander.destroy();
  shared.stop();
});

async function bystanderIsServed(): Promise<void> {
  assert.equal((await askHttp2(bystander)).body, "ok");
  assert.ok(!bystander.closed && !bystander.destroyed, "its connection is open");
}

const activeRequests = (path: TestDataPath): number | undefined => path.clusters.describe()[0]?.counters.activeRequests;

/** The attacker's connection is closed, although the attacker keeps it open, and nothing of it is left. */
async function isGone({ path, clock }: Target, others: number): Promise<void> {
  if (path.listeners.connectionCount > others) clock.advance(delayedCloseTimeoutMs + 500);
  await until(() => path.listeners.connectionCount === others);
  await until(() => activeRequests(path) === 0);
  assert.deepEqual(path.broken, []);
}

const afterwards: Buffer = Buffer.alloc(megabyte);

/** What the process holds after a collection. */
function heldBytes(): number {
  collect();
  // The first collection may still be giving memory back, on a thread of its own.
  collect();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

interface Flood {
  readonly name: string;
  /** What comes before the flood. */
  readonly opening?: readonly Buffer[];
  readonly flood: (i: number) => Buffer;
  /** Pieces of the flood within which it must be over. */
  readonly most: number;
  /** Requests that the server may see of it. */
  readonly served?: number;
}

const id = (i: number): number => 2 * i + 1;
const at = (path: string): Field[] => get.map(([name, value]) => [name, name === ":path" ? path : value]);
const hang = at("/hang");
const openPost = headers(1, post, END_HEADERS);
const empty = Buffer.alloc(0);

const provoked: Readonly<Record<string, (streamId: number) => Buffer>> = {
  "a WINDOW_UPDATE of 0": (streamId) => windowUpdate(streamId, 0),
  "a window above 2^31-1": (streamId) => windowUpdate(streamId, 0x7fffffff),
  "DATA after the end": (streamId) => data(streamId, "x"),
  "HEADERS after the end": (streamId) => headers(streamId, [["x", "1"]]),
  "a PRIORITY of a wrong size": (streamId) => frame(2, 0, streamId, [0, 0, 0, 0]),
  "a stream that depends on itself": (streamId) => priority(streamId, streamId),
};

const floods: readonly Flood[] = [
  {
    name: "CVE-2023-44487 Rapid Reset",
    flood: (i) => Buffer.concat([headers(id(i), hang), rst(id(i), 8)]),
    most: 300,
    served: 0,
  },
  {
    name: "CVE-2023-44487 Rapid Reset of requests that reached the server",
    flood: (i) => (i % 2 === 0 ? headers(id(i / 2), hang) : rst(id((i - 1) / 2), 8)),
    most: 600,
    served: 300,
  },
  ...Object.entries(provoked).map(([what, provoke]) => ({
    name: `CVE-2025-8671 MadeYouReset by ${what}`,
    flood: (i: number) => Buffer.concat([headers(id(i), hang), provoke(id(i))]),
    most: 300,
    served: 0,
  })),
  {
    name: "CVE-2025-8671 requests that are malformed",
    flood: (i) => headers(id(i), [...get, ["X", "1"]]),
    most: 300,
    served: 0,
  },
  {
    name: "streams above the limit, opened for ever",
    flood: (i) => headers(id(i), hang),
    most: 2500,
    served: 1024,
  },
  {
    name: "CVE-2024-27919 a header block that never ends, in bytes",
    opening: [headers(1, get, END_STREAM)],
    flood: () => continuation(1, block([["x", "y".repeat(16_000)]]), 0),
    most: 16,
    served: 0,
  },
  ...[empty, block([["x", "y"]])].map((payload) => ({
    name: `CVE-2024-30255 CVE-2023-45288 a header block that never ends, in frames of ${payload.length} bytes`,
    opening: [headers(1, get, END_STREAM)],
    flood: () => continuation(1, payload, 0),
    most: 16,
    served: 0,
  })),
  {
    name: "CVE-2019-9511 a window that is opened byte by byte for nothing",
    opening: [headers(1, hang)],
    flood: () => windowUpdate(1, 1),
    most: 1200,
    served: 1,
  },
  { name: "CVE-2019-9512 PING", flood: () => ping(), most: 1200 },
  { name: "CVE-2019-9513 PRIORITY", flood: (i) => priority(1, 3 + 2 * (i % 50)), most: 1200 },
  { name: "CVE-2019-9515 SETTINGS", flood: () => settings(), most: 600 },
  { name: "CVE-2019-9515 SETTINGS full of values", flood: () => settings(...full), most: 600 },
  { name: "answers to SETTINGS that nobody sent", flood: () => settingsAck, most: 600 },
  { name: "answers to PING that nobody sent", flood: () => ping("87654321", 1), most: 1200 },
  { name: "CVE-2019-9516 headers without a name", flood: (i) => headers(id(i), [...get, ["", ""]]), most: 300 },
  { name: "CVE-2019-9518 empty DATA", opening: [openPost], flood: () => data(1, ""), most: 600, served: 1 },
  {
    name: "CVE-2019-9518 DATA that is padding alone",
    opening: [openPost],
    flood: () => frame(0, 8, 1, [255, ...Buffer.alloc(255)]),
    most: 600,
    served: 1,
  },
  {
    name: "CVE-2019-9518 empty HEADERS and CONTINUATION",
    flood: (i) => Buffer.concat([frame(1, END_STREAM, id(i)), continuation(id(i), empty, END_HEADERS)]),
    most: 300,
  },
  { name: "frames of a type that does not exist", flood: () => frame(0x77, 0, 0, [1, 2, 3]), most: 600 },
  {
    name: "DATA for a stream that was reset long ago",
    opening: [openPost, windowUpdate(1, 0)],
    flood: () => data(1, "xxxxxxxx"),
    most: 5000,
    served: 1,
  },
  {
    name: "RST_STREAM for streams that are over",
    opening: [headers(1, get), rst(1, 8)],
    flood: () => rst(1, 8),
    most: 1200,
    served: 1,
  },
];

/** The same setting a thousand times. */
const full: readonly (readonly [number, number])[] = Array.from({ length: 1000 }, (_, i) => [4, 65535 - (i % 2)]);

for (const { name, opening = [], flood, most, served = 0 } of floods) {
  test(`${name}: the attacker is cut off, the others are served`, async (context) => {
    await bystanderIsServed();
    const seen = shared.served();
    const before = heldBytes();
    const attacker = rawHttp2Client(shared.path.port());
    context.after(() => attacker.socket.destroy());
    attacker.send(...opening);
    await press(attacker, most, flood);
    await attacker.isEnded();
    assert.equal(attacker.count(/^GOAWAY \d+ ENHANCE_YOUR_CALM$/), 1, attacker.words.slice(-3).join());
    // An attacker that goes on all the same is not listened to.
    for (let i = 0; i < 16; i++) await new Promise((resolve) => attacker.socket.write(afterwards, resolve));
    const held = heldBytes() - before;
    assert.ok(held < 8 * megabyte, `${held} bytes are held`);
    await isGone(shared, 1);
    assert.ok(shared.served() - seen <= served, `${shared.served() - seen} requests reached the server`);
    await bystanderIsServed();
  });
}

/** Bytes after the preface that end the connection at once. */
const fatal: readonly (readonly [name: string, code: string, ...bytes: readonly Buffer[]])[] = [
  [
    "CVE-2026-21714 a window of the connection above 2^31-1",
    "FLOW_CONTROL_ERROR",
    headers(1, hang),
    headers(3, hang),
    windowUpdate(0, 0x7fffffff),
  ],
  [
    "CVE-2025-59465 a large and invalid header block",
    "COMPRESSION_ERROR",
    headers(1, hang),
    frame(1, 5, 3, Buffer.alloc(16384, 0xff)),
  ],
  ["CVE-2026-48937 requests after an error of the connection", "PROTOCOL_ERROR", data(0, "x"), headers(1, get)],
  ["a frame above the size that we allow", "FRAME_SIZE_ERROR", Buffer.from([0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1])],
  ["SETTINGS that make a window too large", "FLOW_CONTROL_ERROR", headers(1, hang), settings([4, 0x80000000])],
  ["a preface that goes wrong after SETTINGS", "PROTOCOL_ERROR", frame(5, 4, 1, [0, 0, 0, 2])],
];

for (const [name, code, ...bytes] of fatal) {
  test(`${name} ends the attacker's connection with ${code}, its requests are ended, and nobody else's`, async (context) => {
    await bystanderIsServed();
    const seen = shared.served();
    const attacker = rawHttp2Client(shared.path.port());
    context.after(() => attacker.socket.destroy());
    attacker.send(...bytes);
    await attacker.sees(new RegExp(`^GOAWAY \\d+ ${code}$`));
    await attacker.isEnded();
    attacker.send(headers(99, get));
    await isGone(shared, 1);
    assert.equal(attacker.count(/^HEADERS/), 0);
    assert.ok(shared.served() - seen <= 2, "what came after the error reached nobody");
    await bystanderIsServed();
  });
}

/** An entry of 3 KB for the table, and a byte that names it. */
const crumb: Buffer = Buffer.concat([Buffer.from([0x60, 0x7f, 0xb9, 0x16]), Buffer.alloc(3000, "c")]);
const many: readonly Field[] = Array.from({ length: 120 }, (_, i) => [`x-${i}`, "1"]);
const largeHost = "a".repeat(40_000);

const tooLarge: Readonly<Record<string, readonly Buffer[]>> = {
  "CVE-2026-47774 crumbs of a cookie that cost one byte each": [
    frame(1, 5, 1, Buffer.concat([block(get), crumb])),
    frame(1, 5, 3, Buffer.concat([block(get), Buffer.alloc(15_000, 0xbe)])),
  ],
  "an HPACK bomb of any other field": [
    frame(1, 5, 1, Buffer.concat([block(get), Buffer.from([0x40, 1, 120, 0x7f, 0xb9, 0x16]), Buffer.alloc(3000, "c")])),
    frame(1, 5, 3, Buffer.concat([block(get), Buffer.alloc(15_000, 0xbe)])),
  ],
  "CVE-2026-73550 a host that is dropped": [
    headers(1, get),
    headers(3, [...get.slice(0, 3), [":authority", largeHost], ["host", largeHost]], END_STREAM),
  ],
  "more headers than we allow": [headers(1, get), headers(3, [...get, ...many])],
};

for (const [name, [first, bomb]] of Object.entries(tooLarge)) {
  test(`${name}: counted as decoded, answered 431, and the connection goes on`, async (context) => {
    const attacker = rawHttp2Client(shared.path.port());
    context.after(() => attacker.socket.destroy());
    const seen = shared.served();
    attacker.send(first as Buffer);
    await attacker.sees(/^DATA 1 \d+ END$/);
    const before = heldBytes();
    attacker.send(...cut(bomb as Buffer));
    await until(() => attacker.field(3, ":status") !== undefined);
    assert.equal(attacker.field(3, ":status"), "431");
    const held = heldBytes() - before;
    assert.ok(held < 8 * megabyte, `${held} bytes are held`);
    attacker.send(headers(5, get));
    await attacker.sees(/^DATA 5 \d+ END$/);
    assert.equal(shared.served() - seen, 2, "the request did not reach the server");
    await bystanderIsServed();
  });
}

/** A header block above the size of a frame, as HEADERS and CONTINUATION. */
function cut(head: Buffer): Buffer[] {
  const payload = head.subarray(9);
  if (payload.length <= 16384) return [head];
  const streamId = head.readUInt32BE(5);
  const pieces: Buffer[] = [frame(1, END_STREAM, streamId, payload.subarray(0, 16384))];
  for (let from = 16384; from < payload.length; from += 16384) {
    const isLast = from + 16384 >= payload.length;
    pieces.push(continuation(streamId, payload.subarray(from, from + 16384), isLast ? END_HEADERS : 0));
  }
  return pieces;
}

test("CVE-2026-26311 DATA for a stream that we have answered and reset is dropped, and its window given back", async (context) => {
  const attacker = rawHttp2Client(shared.path.port());
  context.after(() => attacker.socket.destroy());
  attacker.send(headers(1, [...post, ...many], END_HEADERS));
  await attacker.sees(/^DATA 1 \d+ END$/);
  // The answer is out; what follows is nobody's.
  for (let i = 0; i < 24; i++) attacker.send(data(1, Buffer.alloc(16384)));
  attacker.send(headers(3, get));
  await attacker.sees(/^DATA 3 \d+ END$/);
  assert.equal(attacker.count(/^GOAWAY/), 0);
});

test("CVE-2024-27983 clients that leave with open streams and unfinished header blocks leave nothing behind", async () => {
  await bystanderIsServed();
  for (let round = 0; round < 30; round++) {
    const attacker = rawHttp2Client(shared.path.port());
    attacker.send(headers(1, hang), openPost5, headers(7, get, END_STREAM), continuation(7, block([["x", "1"]]), 0));
    await attacker.sees("SETTINGS ACK");
    if (round % 2 === 0) attacker.socket.resetAndDestroy();
    else attacker.socket.destroy();
  }
  await isGone(shared, 1);
  await bystanderIsServed();
});

const openPost5 = headers(5, post, END_HEADERS);

test("CVE-2021-32778 a thousand open streams end with their connection at once", async (context) => {
  const attacker = rawHttp2Client(shared.path.port());
  context.after(() => attacker.socket.destroy());
  attacker.send(...Array.from({ length: 1000 }, (_, i) => headers(id(i), hang)));
  await until(() => activeRequests(shared.path) === 1000);
  const cpu = process.cpuUsage();
  attacker.socket.resetAndDestroy();
  await until(() => activeRequests(shared.path) === 0);
  const { user, system } = process.cpuUsage(cpu);
  assert.ok(user + system < 2_000_000, `${user + system} µs`);
  await isGone(shared, 1);
  await bystanderIsServed();
});

test("CVE-2023-35944 a scheme in another case is the same scheme", async (context) => {
  const client = rawHttp2Client(shared.path.port());
  context.after(() => client.socket.destroy());
  client.send(
    headers(
      1,
      get.map(([name, value]) => [name, name === ":scheme" ? "HTTP" : value]),
    ),
  );
  await client.sees(/^DATA 1 \d+ END$/);
  assert.equal(client.field(1, ":status"), "200");
});

for (const streamIdleTimeoutMs of [0, 300_000]) {
  const where = streamIdleTimeoutMs === 0 ? "without stream_idle_timeout" : "with stream_idle_timeout";
  test(`CVE-2019-9517 a client that opens its windows and never reads is gone after five minutes ${where}`, async (context) => {
    const own = await target({ streamIdleTimeoutMs });
    context.after(() => own.stop());
    const before = heldBytes();
    const attacker = rawHttp2Client(own.path.port(), { settings: [[4, 0x7fffffff]] });
    context.after(() => attacker.socket.destroy());
    attacker.socket.pause();
    attacker.send(windowUpdate(0, 0x7fffffff - 65535));
    attacker.send(...Array.from({ length: 20 }, (_, i) => headers(id(i), at("/big"))));
    await standsStill(own.taken);
    // What the kernel keeps for twenty connections to the server is some megabytes for each; the rest was not asked for.
    const held = heldBytes() - before;
    assert.ok(held < 16 * megabyte, `${held} bytes are held`);
    own.clock.advance(299_000);
    await new Promise(setImmediate);
    assert.equal(own.path.listeners.connectionCount, 1);
    own.clock.advance(2000);
    await isGone(own, 0);
    assert.equal(own.path.logs.length, 20);
  });
}

/** Waits until no more is taken. */
async function standsStill(taken: () => number): Promise<void> {
  let before = -1;
  let steady = 0;
  await until(() => {
    steady = taken() > 0 && taken() === before ? steady + 1 : 0;
    before = taken();
    return steady > 20;
  });
}

test("CVE-2019-9511 CVE-2019-9517 streams whose windows stay closed are reset after five minutes, and cost bounded memory", async (context) => {
  const own = await target();
  context.after(() => own.stop());
  const before = heldBytes();
  const attacker = rawHttp2Client(own.path.port(), { settings: [[4, 0]] });
  context.after(() => attacker.socket.destroy());
  attacker.send(...Array.from({ length: 20 }, (_, i) => headers(id(i), at("/big"))));
  await until(() => attacker.count(/^HEADERS/) === 20);
  await standsStill(own.taken);
  const held = heldBytes() - before;
  assert.ok(held < 16 * megabyte, `${held} bytes are held`);
  assert.equal(attacker.count(/^DATA/), 0);
  own.clock.advance(302_000);
  await until(() => attacker.count(/^RST_STREAM \d+ ENHANCE_YOUR_CALM$/) === 20);
  await until(() => activeRequests(own.path) === 0);
  // The connection itself broke no rule.
  attacker.send(settings([4, 65535]), headers(99, get));
  await attacker.sees(/^DATA 99 \d+ END$/);
});

const prefaces: Readonly<Record<string, Buffer>> = {
  "half of the preface": CLIENT_PREFACE.subarray(0, 12) as Buffer,
  "the preface without SETTINGS": CLIENT_PREFACE,
  "half of the SETTINGS": Buffer.concat([CLIENT_PREFACE, settings([4, 65535]).subarray(0, 12)]),
};

for (const [what, bytes] of Object.entries(prefaces)) {
  for (const codec of ["auto", "http2"] as const) {
    test(`CVE-2020-8251 ${what} is waited for 15 seconds at most with codec_type ${codec}`, async (context) => {
      const own = await target({ codec });
      context.after(() => own.stop());
      const slow = new RawClient(own.path.port());
      context.after(() => slow.socket.destroy());
      slow.send(bytes);
      await until(() => own.path.listeners.connectionCount === 1);
      const waitedMs = await elapsed(own.clock, () => own.path.listeners.connectionCount === 0);
      // Whoever does not acknowledge our SETTINGS has ten seconds.
      assert.ok(waitedMs >= 10_000, `${waitedMs} ms`);
      await isGone(own, 0);
    });
  }
}
