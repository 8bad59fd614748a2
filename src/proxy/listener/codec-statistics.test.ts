// What the codecs count, by Envoy's names: `http1.*` and `http2.*` for clients, the same below `cluster.<name>.` for
// servers. Every counter is seen to move, by one peer that does what it counts.
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { ManualClock } from "#base/time/clock.ts";
import {
  block,
  data,
  END_HEADERS,
  frame,
  get,
  headers,
  ping,
  post,
  priority,
  rst,
  windowUpdate,
} from "#wire/http2/testing/raw-frames.ts";
import { clusterStats } from "../admin/cluster-stats.ts";
import type { HttpConnectionManagerConfig } from "../config/http.ts";
import { meshHttp2 } from "../config/http2.ts";
import { Stats, type StatValue } from "../stats/stats.ts";
import {
  chain,
  clusterOn,
  dataPath,
  forward,
  httpFilter,
  listenerConfig,
  managerConfig,
  routeEntry,
  type TestDataPath,
} from "./testing/data-path.ts";
import { press, type RawHttp2, rawHttp2Client, rawHttp2Server } from "./testing/http2-peers.ts";
import { cannedServer, RawClient } from "./testing/raw-peers.ts";
import { elapsed, until } from "./testing/requests.ts";

interface Counted {
  readonly path: TestDataPath;
  readonly clock: ManualClock;
  /** The value of a statistic; fails where there is none. */
  stat(name: string): number;
  client(options?: Parameters<typeof rawHttp2Client>[1]): RawHttp2;
}

const large = Buffer.alloc(100_000, "x");

async function counted(
  context: TestContext,
  manager: Partial<HttpConnectionManagerConfig> = {},
  upstream: { readonly port: number; readonly protocol: "http1" | "http2" } | null = null,
): Promise<Counted> {
  const server = await cannedServer(`HTTP/1.1 200 OK\r\ncontent-length: ${large.length}\r\n\r\n${large.toString()}`);
  context.after(() => server.stop());
  const clock = new ManualClock(1_000_000);
  const stats = new Stats();
  const path = dataPath({ clock, now: () => clock.now(), sweepMs: 250, stats });
  context.after(() => path.stop());
  const { port, protocol } = upstream ?? { port: server.port, protocol: "http1" };
  path.clusters.update(clusterOn("app", [port], { upstreamProtocol: protocol }));
  const config = managerConfig([routeEntry("/", forward("app"))], manager);
  await path.listeners.update(listenerConfig([chain([httpFilter(config)])]));
  const stat = (name: string): number => {
    const all: StatValue[] = [...stats.values(), ...clusterStats(path.clusters.describe())];
    const found = all.find((it) => it.name === name);
    assert.ok(found, `there is ${name}`);
    return found.value;
  };
  const client = (options = {}): RawHttp2 => {
    const made = rawHttp2Client(path.port(), options);
    context.after(() => made.socket.destroy());
    return made;
  };
  return { path, clock, stat, client };
}

const id = (i: number): number => 2 * i + 1;

test("http2.streams_active and pending_send_bytes are what is open and waits now", async (context) => {
  const { stat, client } = await counted(context);
  const slow = client({ settings: [[4, 10]] });
  slow.send(headers(1, get), headers(3, get));
  await until(() => stat("http2.pending_send_bytes") > 20_000);
  assert.equal(stat("http2.streams_active"), 2);
  slow.send(rst(1, 8));
  await until(() => stat("http2.streams_active") === 1);
  assert.equal(stat("http2.rx_reset"), 1);
  slow.socket.destroy();
  await until(() => stat("http2.streams_active") === 0);
  assert.equal(stat("http2.pending_send_bytes"), 0);
});

const floods = {
  inbound_empty_frames_flood: () => data(1, ""),
  inbound_priority_frames_flood: () => priority(1, 3),
  inbound_window_update_frames_flood: () => windowUpdate(0, 1),
} as const;

for (const [name, flood] of Object.entries(floods)) {
  test(`http2.${name} counts connections that end for it`, async (context) => {
    const { stat, client } = await counted(context);
    // With windows for the whole answer, so that nothing is waited for.
    const attacker = client({ settings: [[4, 1 << 20]] });
    attacker.send(windowUpdate(0, 1 << 20), headers(1, post, END_HEADERS));
    await press(attacker, 1500, flood);
    await attacker.isEnded();
    assert.equal(stat(`http2.${name}`), 1);
    assert.equal(stat("http2.goaway_sent"), attacker.count(/^GOAWAY/));
  });
}

test("http2.outbound_control_flood counts connections whose answers nobody reads", async (context) => {
  const limits = { ...meshHttp2.settings.limits, maxAbuse: 1e9, drainAbuse: 0, maxQueuedControlFrames: 10 };
  const { path, stat, client } = await counted(context, {
    http2: { ...meshHttp2, settings: { ...meshHttp2.settings, limits } },
  });
  const attacker = client({ settings: [[4, 0x7fffffff]] });
  attacker.socket.pause();
  attacker.send(windowUpdate(0, 0x7fff0000), ...Array.from({ length: 100 }, (_, i) => headers(id(i), get)));
  await until(() => stat("http2.pending_send_bytes") > 0 || path.listeners.connectionCount === 0);
  await press(attacker, 2000, () => ping());
  await until(() => stat("http2.outbound_control_flood") === 1);
});

test("http2.header_overflow, rx_messaging_error, trailers, tx_reset and headers_cb_no_stream count messages", async (context) => {
  const { stat, client } = await counted(context);
  const peer = client();
  peer.send(headers(1, [...get, ...Array.from({ length: 120 }, (_, i) => [`x-${i}`, "1"] as const)]));
  await until(() => stat("http2.header_overflow") === 1);
  peer.send(headers(3, [...get, ["X", "1"]]));
  await until(() => stat("http2.rx_messaging_error") === 1);
  assert.equal(stat("http2.tx_reset"), peer.count(/^RST_STREAM/));
  peer.send(headers(5, post, END_HEADERS), data(5, "x"), headers(5, [["x-sum", "1"]]));
  await until(() => stat("http2.trailers") === 1);
  // On its way when we reset the stream.
  peer.send(headers(3, [["x-late", "1"]]));
  await until(() => stat("http2.headers_cb_no_stream") === 1);
});

for (const version of ["http1", "http2"] as const) {
  test(`${version}: names with underscores are counted where they are dropped, and where they refuse a request`, async (context) => {
    for (const [action, name] of [
      ["drop", "dropped_headers_with_underscores"],
      ["reject", "requests_rejected_with_underscores_in_headers"],
    ] as const) {
      const { path, stat, client } = await counted(context, { headersWithUnderscores: action });
      if (version === "http2") {
        client().send(headers(1, [...get, ["a_b", "1"]]));
      } else {
        const http1 = new RawClient(path.port());
        context.after(() => http1.socket.destroy());
        http1.send("GET / HTTP/1.1\r\nHost: a\r\na_b: 1\r\n\r\n");
      }
      await until(() => stat(`${version}.${name}`) === 1);
    }
  });
}

test("http1.protocol_error counts what is no HTTP/1, of clients and servers", async (context) => {
  const server = await cannedServer("HTTP/1.1 two hundred\r\n\r\n");
  context.after(() => server.stop());
  const { path, stat } = await counted(context, {}, { port: server.port, protocol: "http1" });
  for (const bytes of ["no HTTP\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"]) {
    const client = new RawClient(path.port());
    context.after(() => client.socket.destroy());
    client.send(bytes);
    await client.sees("HTTP/1.1 ");
  }
  assert.equal(stat("http1.protocol_error"), 1);
  assert.equal(stat("cluster.app.http1.protocol_error"), 1);
});

test("http2.keepalive_timeout and tx_flush_timeout count peers that do not answer, and that do not read", async (context) => {
  const keepalive = { ...meshHttp2.keepalive, intervalMs: 1000, timeoutMs: 5000 };
  const { path, clock, stat, client } = await counted(context, { http2: { ...meshHttp2, keepalive } });
  client();
  await until(() => path.listeners.connectionCount === 1);
  await elapsed(clock, () => stat("http2.keepalive_timeout") === 1);
  const other = await counted(context);
  const slow = other.client({ settings: [[4, 10]] });
  slow.send(headers(1, get));
  await until(() => other.stat("http2.pending_send_bytes") > 0);
  await elapsed(other.clock, () => other.stat("http2.tx_flush_timeout") === 1);
  assert.equal(other.stat("http2.streams_active"), 0);
});

test("http2.goaway_graceful_sent counts drains", async (context) => {
  const { path, stat, client } = await counted(context);
  const peer = client();
  peer.send(headers(1, get));
  await peer.sees(/^DATA 1/);
  void path.listeners.drain(5000);
  await until(() => stat("http2.goaway_graceful_sent") === 1);
  assert.ok(stat("http2.goaway_sent") >= 1);
});

test("cluster.<name>.http2.* counts what servers do", async (context) => {
  let answered = 0;
  const server = await rawHttp2Server((connection, it) => {
    if (it.type !== "HEADERS") return;
    const { streamId } = it;
    // The first is refused, and tried again; the second reset; the third malformed; then all is well, with trailers.
    switch (answered++) {
      case 0:
        return connection.send(rst(streamId, 7));
      case 1:
        return connection.send(rst(streamId, 2));
      case 2:
        return connection.send(
          headers(streamId, [
            [":status", "200"],
            ["X", "1"],
          ]),
        );
      case 3:
        return connection.send(
          frame(
            1,
            5,
            streamId,
            Buffer.concat([
              Buffer.from([0x88, 0x40, 1, 120, 0x7f, 0xb9, 0x16]),
              Buffer.alloc(3000, "c"),
              Buffer.alloc(12_000, 0xbe),
            ]),
          ),
        );
      default:
        connection.send(headers(streamId, [[":status", "200"]], END_HEADERS), data(streamId, "ok"));
        return connection.send(frame(1, 5, streamId, block([["x-sum", "1"]])));
    }
  });
  context.after(() => server.stop());
  const { stat, client } = await counted(context, {}, { port: server.port, protocol: "http2" });
  const peer = client();
  for (let i = 0; i < 4; i++) {
    peer.send(headers(id(i), get));
    await until(() => peer.heads.has(id(i)));
  }
  await until(() => stat("cluster.app.http2.trailers") === 1);
  assert.equal(stat("cluster.app.http2.stream_refused_errors"), 1);
  assert.equal(stat("cluster.app.http2.rx_reset"), 2);
  assert.equal(stat("cluster.app.http2.rx_messaging_error"), 1);
  assert.equal(stat("cluster.app.http2.header_overflow"), 1);
  assert.equal(stat("cluster.app.http2.tx_reset"), 2);
  assert.equal(stat("cluster.app.http2.streams_active"), 0);
  assert.equal(stat("http2.rx_reset"), 0, "clients and servers are counted apart");
});
