// Servers that attack us over HTTP/2: each is told so and left, its client hears of it, and no other client does. Real
// sockets, through the real data path.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  block,
  continuation,
  data,
  END_HEADERS,
  type Field,
  frame,
  get,
  headers,
  ping,
  settings,
  windowUpdate,
} from "#wire/http2/testing/raw-frames.ts";
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
} from "./testing/data-path.ts";
import { askHttp2, http2Session, press, rawHttp2Server } from "./testing/http2-peers.ts";
import { until } from "./testing/requests.ts";

/** What a server does with a request of ours, and what the client gets. */
interface HostileServer {
  readonly name: string;
  readonly answer: (streamId: number) => readonly Buffer[];
  /** Sent for ever after the answer. */
  readonly flood?: (i: number) => Buffer;
  /** Error of the connection, or of the stream, by which we tell it. */
  readonly told: RegExp;
}

const ok: readonly Field[] = [[":status", "200"]];

const hostileServers: readonly HostileServer[] = [
  {
    name: "CVE-2026-73513 trailers that do not end the stream",
    answer: (it) => [headers(it, ok, END_HEADERS), headers(it, [["grpc-status", "0"]], END_HEADERS)],
    told: /^RST_STREAM \d+ PROTOCOL_ERROR$/,
  },
  {
    name: "CVE-2026-48619 ORIGIN frames without end",
    answer: () => [],
    flood: () => frame(0x0c, 0, 0, Buffer.alloc(16384, "o")),
    told: /^GOAWAY \d+ ENHANCE_YOUR_CALM$/,
  },
  {
    name: "CVE-2019-9512 PING without end",
    answer: () => [],
    flood: () => ping(),
    told: /^GOAWAY \d+ ENHANCE_YOUR_CALM$/,
  },
  {
    name: "CVE-2019-9515 SETTINGS without end",
    answer: () => [],
    flood: () => settings([4, 65535]),
    told: /^GOAWAY \d+ ENHANCE_YOUR_CALM$/,
  },
  {
    name: "CVE-2024-27919 a head that never ends",
    answer: (it) => [headers(it, ok, 0)],
    flood: () => continuation(1, block([["x", "y".repeat(16_000)]]), 0),
    told: /^GOAWAY \d+ ENHANCE_YOUR_CALM$/,
  },
  {
    name: "CVE-2019-9518 empty DATA without end",
    answer: (it) => [headers(it, ok, END_HEADERS)],
    flood: () => data(1, ""),
    told: /^GOAWAY \d+ ENHANCE_YOUR_CALM$/,
  },
  {
    name: "an HPACK bomb",
    answer: (it) => [
      frame(
        1,
        END_HEADERS,
        it,
        Buffer.concat([
          Buffer.from([0x88]),
          Buffer.from([0x40, 1, 120, 0x7f, 0xb9, 0x16]),
          Buffer.alloc(3000, "c"),
          Buffer.alloc(12_000, 0xbe),
        ]),
      ),
    ],
    told: /^RST_STREAM \d+ ENHANCE_YOUR_CALM$/,
  },
  {
    name: "CVE-2026-21714 a window above 2^31-1",
    answer: () => [windowUpdate(0, 0x7fffffff)],
    told: /^GOAWAY \d+ FLOW_CONTROL_ERROR$/,
  },
  {
    name: "CVE-2025-59465 an invalid header block",
    answer: (it) => [frame(1, 5, it, Buffer.alloc(16384, 0xff))],
    told: /^GOAWAY \d+ COMPRESSION_ERROR$/,
  },
  {
    name: "a promise that nobody may make",
    answer: (it) => [frame(5, 4, it, Buffer.concat([Buffer.from([0, 0, 0, 2]), block(get)]))],
    told: /^GOAWAY \d+ PROTOCOL_ERROR$/,
  },
  {
    name: "a stream of its own",
    answer: () => [headers(2, ok)],
    told: /^GOAWAY \d+ PROTOCOL_ERROR$/,
  },
];

for (const { name, answer, flood, told } of hostileServers) {
  test(`a server that sends ${name} is told so, its client hears of it, and no other`, async (context) => {
    const evil = await rawHttp2Server((connection, it) => {
      if (it.type !== "HEADERS") return;
      connection.send(...answer(it.streamId));
      if (flood !== undefined) void press(connection, 2000, flood);
    });
    context.after(() => evil.stop());
    const good = await httpServer((_req, res) => res.end("ok"));
    context.after(() => good.stop());
    const path = dataPath();
    context.after(() => path.stop());
    path.clusters.update(clusterOn("evil", [evil.port], { upstreamProtocol: "http2" }));
    path.clusters.update(clusterOn("good", [good.port]));
    const config = managerConfig([routeEntry("/evil", forward("evil")), routeEntry("/", forward("good"))]);
    await path.listeners.update(listenerConfig([chain([httpFilter(config)])]));
    const session = http2Session(path.port());
    context.after(() => session.destroy());
    const outcome = await askHttp2(session, { ":path": "/evil" }).then(
      ({ status }) => String(status),
      (error: NodeJS.ErrnoException) => error.code ?? error.message,
    );
    // A response that had begun can only be cut off.
    assert.ok(["502", "503", "ERR_HTTP2_STREAM_ERROR"].includes(outcome), outcome);
    await until(() => evil.connections[0]?.words.some((words) => told.test(words)) === true);
    assert.equal((await askHttp2(session)).body, "ok");
    await until(() => path.clusters.describe().every(({ counters }) => counters.activeRequests === 0));
    assert.deepEqual(path.broken, []);
  });
}
