// The TCP proxy on real sockets: ends, back pressure, attempts, deadlines and what is logged and counted of them.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createServer as createTlsServer } from "node:tls";
import { ManualClock } from "#base/time/clock.ts";
import { plainEndpointSet } from "../../../config/cluster.ts";
import * as resources from "../../../config/testing/resources.ts";
import { plainUpstreamTls } from "../../../config/tls.ts";
import { testAuthority } from "../../../listener/testing/certificates.ts";
import {
  balancedBy,
  chain,
  clusterOn,
  dataPath,
  endpointConfig,
  httpServer,
  limitedTo,
  listenerConfig,
  networkFilter,
  type TestDataPath,
  tcpFilter,
} from "../../../listener/testing/data-path.ts";
import { RawClient, rawServer } from "../../../listener/testing/raw-peers.ts";
import { until } from "../../../listener/testing/requests.ts";
import { Stats } from "../../../stats/stats.ts";
import type { TcpProxySettings } from "./settings.ts";

type Options = Parameters<typeof dataPath>[0];

async function proxyTo(
  ports: readonly number[],
  settings: Partial<TcpProxySettings> = {},
  options: Options = {},
): Promise<TestDataPath> {
  const path = dataPath(options);
  path.clusters.update(clusterOn("app", ports));
  await path.listeners.update(listenerConfig([chain([networkFilter("istio_stats", {}), tcpFilter("app", settings)])]));
  return path;
}

/** A port where nothing listens. */
async function closedPort(): Promise<number> {
  const server = await rawServer(() => {});
  server.stop();
  return server.port;
}

const statOf = (stats: Stats, name: string): number | undefined => stats.values().find((it) => it.name === name)?.value;

test("a server that speaks first, as MySQL does, is heard without a byte of the client", async () => {
  const server = await rawServer((socket) => {
    socket.write("\x0a8.0.36\0");
    socket.on("data", (data) => socket.write(`ok ${data.toString()}`));
  });
  const path = await proxyTo([server.port]);
  const client = new RawClient(path.port());
  await client.sees("8.0.36");
  client.send("login");
  await client.sees("ok login");
  client.socket.destroy();
  path.stop();
  server.stop();
});

test("a client that ends its half still gets everything, however long the server takes", async () => {
  const server = await rawServer((socket) => {
    let size = 0;
    socket.on("data", (data) => (size += data.length));
    socket.on("end", () => {
      socket.write(`${size} `);
      setImmediate(() => socket.end("done"));
    });
  });
  const path = await proxyTo([server.port]);
  const client = new RawClient(path.port());
  client.send(Buffer.alloc(300_000));
  client.socket.end();
  await client.isEnded();
  assert.equal(client.text, "300000 done");
  await until(() => path.logs.length === 1);
  assert.equal(path.logs[0]?.["responseFlags"], "-");
  path.stop();
  server.stop();
});

test("while the endpoint's handshake is awaited little is read, a client's end is kept, and its leaving is seen", async () => {
  const authority = testAuthority();
  const { certificateChain: cert, privateKey: key } = authority.issueFor("DNS:a.example");
  let text = "";
  const secured = createTlsServer({ cert, key }, (socket) => {
    socket.on("error", () => {});
    socket.on("data", (data) => (text += data.toString()));
    socket.on("end", () => socket.end("bye"));
  });
  const server = await rawServer(() => {});
  const path = dataPath();
  const tls = { name: "tls", match: {}, tls: plainUpstreamTls, proxyProtocol: null };
  path.clusters.update(clusterOn("app", [server.port], { transports: [tls], connectTimeoutMs: 60_000 }));
  await path.listeners.update(listenerConfig([chain([tcpFilter("app")])]));
  const leaving = new RawClient(path.port());
  leaving.send("some bytes");
  await until(() => server.sockets.size === 1);
  leaving.socket.resetAndDestroy();
  await until(() => path.listeners.connectionCount === 0);
  for (const socket of server.sockets) socket.destroy();
  await until(() => server.sockets.size === 0);
  const flooding = new RawClient(path.port());
  flooding.send(Buffer.alloc(64 * 1024 * 1024));
  await until(() => server.sockets.size === 1);
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.ok(flooding.socket.writableLength > 32 * 1024 * 1024, `${flooding.socket.writableLength}`);
  flooding.socket.resetAndDestroy();
  // Nobody reads it, so that it leaves is seen when the endpoint is there.
  for (const socket of server.sockets) socket.destroy();
  await until(() => path.listeners.connectionCount === 0 && server.sockets.size === 0);
  const short = new RawClient(path.port());
  short.send("short");
  short.socket.end();
  await until(() => server.sockets.size === 1);
  for (const socket of server.sockets) secured.emit("connection", socket);
  await short.isEnded();
  assert.equal(short.text, "bye");
  assert.equal(text, "short");
  path.stop();
  server.stop();
  authority.stop();
});

test("a server that ends its half still hears the client", async () => {
  let heard = "";
  let ended = false;
  const server = await rawServer((socket) => {
    socket.end("first");
    socket.on("data", (data) => (heard += data.toString()));
    socket.on("end", () => (ended = true));
  });
  const path = await proxyTo([server.port]);
  const client = new RawClient(path.port());
  await client.isEnded();
  assert.equal(client.text, "first");
  assert.equal(path.logs.length, 0, "one direction is still open");
  client.send("second");
  await until(() => heard === "second");
  client.socket.end();
  await until(() => ended && path.logs.length === 1);
  path.stop();
  server.stop();
});

test("a slow reader loses nothing of what the server sent before both ended", async () => {
  const total = 8 * 1024 * 1024;
  const server = await rawServer((socket) => {
    socket.resume();
    socket.end(Buffer.alloc(total, 1));
  });
  const clock = new ManualClock();
  const path = await proxyTo([server.port], {}, { clock, now: () => clock.now() });
  const client = new RawClient(path.port());
  client.socket.pause();
  client.socket.end();
  let size = 0;
  client.socket.removeAllListeners("data");
  client.socket.on("data", (data) => (size += data.length));
  client.socket.pause();
  // The whole time that a closing connection may linger passes many times while the reader reads.
  await until(() => server.sockets.size === 1);
  while (!client.closed && !client.ended) {
    client.socket.resume();
    await new Promise((resolve) => setImmediate(resolve));
    client.socket.pause();
    clock.advance(500);
  }
  assert.equal(size, total);
  client.socket.destroy();
  path.stop();
  server.stop();
});

test("what a client sent before it went away still reaches the endpoint, and is counted as a flush", async () => {
  const total = 4 * 1024 * 1024;
  let size = 0;
  const server = await rawServer((socket) => {
    socket.pause();
    setTimeout(() => socket.resume(), 50);
    socket.on("data", (data) => (size += data.length));
  });
  const stats = new Stats();
  const path = await proxyTo([server.port], {}, { stats });
  const client = new RawClient(path.port());
  client.send(Buffer.alloc(total));
  client.socket.end();
  await until(() => size === total);
  assert.equal(statOf(stats, "tcp.test.downstream_cx_rx_bytes_total") ?? 0, 0, "counted at the end");
  client.socket.destroy();
  for (const socket of server.sockets) socket.end();
  await until(() => path.logs.length === 1);
  assert.equal(statOf(stats, "tcp.test.downstream_cx_rx_bytes_total"), total);
  assert.equal(statOf(stats, "tcp.test.downstream_cx_total"), 1);
  path.stop();
  server.stop();
});

test("a connection that fails is tried again at another endpoint, as often as configured", async () => {
  const server = await rawServer((socket) => socket.end("good"));
  const dead = await closedPort();
  const path = await proxyTo([dead, server.port], { maxConnectAttempts: 3 });
  for (let i = 0; i < 8; i++) {
    const client = new RawClient(path.port());
    await client.isEnded();
    assert.equal(client.text, "good");
    client.socket.destroy();
  }
  await until(() => path.logs.length === 8);
  assert.ok(path.logs.every((log) => log["upstreamHost"] === `127.0.0.1:${server.port}`));
  const [cluster] = path.clusters.describe();
  assert.ok((cluster?.counters.connectFailures ?? 0) > 0, "the dead endpoint was tried");
  assert.equal(cluster?.counters.connections, 0);
  path.stop();
  server.stop();
});

test("after the last attempt the client is closed with UF and URX, and the log says which attempt it was", async () => {
  const path = await proxyTo([await closedPort()], { maxConnectAttempts: 2 });
  const client = new RawClient(path.port());
  await client.isEnded();
  assert.equal(path.logs[0]?.["responseFlags"], "UF,URX");
  assert.match(String(path.logs[0]?.["cause"]), /connection refused.*\(attempt 2 of 2\)/);
  assert.equal(path.logs[0]?.["upstreamTransportFailureReason"], "delayed connect error: 111");
  const counters = path.clusters.describe()[0]?.counters;
  assert.deepEqual([counters?.connectFailures, counters?.connectAttemptsExceeded], [2, 1]);
  path.stop();
});

test("the circuit breaker's limit of connections closes one too many with UO", async () => {
  const server = await rawServer((socket) => socket.write("hi"));
  const path = dataPath();
  path.clusters.update(clusterOn("app", [server.port], { circuitBreakers: limitedTo({ maxConnections: 1 }) }));
  await path.listeners.update(listenerConfig([chain([tcpFilter("app")])]));
  const first = new RawClient(path.port());
  await first.sees("hi");
  const second = new RawClient(path.port());
  await second.isEnded();
  assert.equal(path.logs[0]?.["responseFlags"], "UO");
  first.socket.resetAndDestroy();
  await until(() => path.clusters.describe()[0]?.counters.connections === 0);
  const third = new RawClient(path.port());
  await third.sees("hi");
  third.socket.destroy();
  path.stop();
  server.stop();
});

test("no byte for the idle time, or a greatest age, ends both sides", async () => {
  const server = await rawServer((socket) => socket.on("data", (data) => socket.write(data)));
  const clock = new ManualClock();
  const stats = new Stats();
  const timers = { clock, now: () => clock.now(), stats };
  const path = await proxyTo([server.port], { idleTimeoutMs: 10_000, maxDurationMs: 25_000 }, timers);
  const talk = async (client: RawClient, text: string): Promise<void> => {
    client.send(text);
    await client.sees(text);
  };
  const idle = new RawClient(path.port());
  const old = new RawClient(path.port());
  await talk(idle, "a");
  await talk(old, "a");
  clock.advance(6000);
  await talk(old, "b");
  clock.advance(6000);
  await idle.isEnded();
  assert.equal(old.ended, false);
  for (const text of ["c", "d"]) {
    await talk(old, text);
    clock.advance(6500);
  }
  await old.isEnded();
  await until(() => path.logs.length === 2);
  assert.deepEqual(
    path.logs.map((log) => [log["responseFlags"], log["connectionTerminationDetails"]]),
    [
      ["-", "tcp_session_idle_timeout"],
      ["DT", "max_downstream_connection_duration_reached"],
    ],
  );
  assert.equal(statOf(stats, "tcp.test.idle_timeout"), 1);
  assert.equal(statOf(stats, "tcp.test.max_downstream_connection_duration"), 1);
  path.stop();
  server.stop();
});

test("the access log is written when connected and at each interval where that is asked for", async () => {
  const server = await rawServer((socket) => socket.on("data", (data) => socket.write(data)));
  const clock = new ManualClock();
  const settings = { logsOnConnect: true, accessLogIntervalMs: 1000 };
  const path = await proxyTo([server.port], settings, { clock, now: () => clock.now() });
  const client = new RawClient(path.port());
  await until(() => path.logs.length === 1);
  assert.equal(path.logs[0]?.["upstreamHost"], `127.0.0.1:${server.port}`);
  client.send("12345");
  await client.sees("12345");
  clock.advance(1250);
  clock.advance(1250);
  assert.deepEqual(
    path.logs.map((log) => log["bytesReceived"]),
    [0, 5, 5],
  );
  client.socket.resetAndDestroy();
  await until(() => path.logs.length === 4);
  path.stop();
  server.stop();
});

test("weights divide connections, and each destination asks for its own subset", async () => {
  const servers = await Promise.all(["one", "two", "three"].map((name) => rawServer((socket) => socket.end(name))));
  const [one, two, three] = servers.map(({ port }) => port);
  let draw = 0;
  const path = dataPath({ random: () => draw });
  const endpoint = (port: number | undefined, version: string): string => `
      - endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: ${port} } } }
        metadata: { filter_metadata: { envoy.lb: { version: ${version}, stage: prod } } }`;
  path.clusters.update(
    resources.clusterConfig(`
name: b
load_assignment:
  cluster_name: b
  endpoints:
  - lb_endpoints:${endpoint(one, "v1")}${endpoint(two, "v2")}${endpoint(three, "v3")}
lb_subset_config: { fallback_policy: NO_FALLBACK, subset_selectors: [{ keys: [stage, version] }, { keys: [stage] }] }`),
  );
  await path.listeners.update(
    resources.listenerConfig(`
name: test
address: { socket_address: { address: 127.0.0.1, port_value: 0 } }
filter_chains:
- filters:
  - name: tcp
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
      stat_prefix: tcp
      metadata_match: { filter_metadata: { envoy.lb: { stage: prod } } }
      weighted_clusters:
        clusters:
        - { name: b, weight: 3, metadata_match: { filter_metadata: { envoy.lb: { version: v2 } } } }
        - { name: b, weight: 1, metadata_match: { filter_metadata: { envoy.lb: { version: v3 } } } }
        - { name: missing, weight: 1 }`),
  );
  const ask = async (at: number): Promise<string> => {
    draw = at;
    const client = new RawClient(path.port());
    await client.isEnded();
    client.socket.destroy();
    return client.text;
  };
  assert.equal(await ask(0.1), "two");
  assert.equal(await ask(0.59), "two");
  assert.equal(await ask(0.61), "three");
  assert.equal(await ask(0.9), "");
  path.stop();
  for (const server of servers) server.stop();
});

test("a hash of the client's address always leads to the same endpoint", async () => {
  const servers = await Promise.all([1, 2, 3, 4].map((i) => rawServer((socket) => socket.end(String(i)))));
  const path = dataPath();
  path.clusters.update(
    clusterOn(
      "app",
      servers.map(({ port }) => port),
      {
        loadBalancing: balancedBy({ type: "maglev", tableSize: 65_537, usesHostname: false, balanceFactorPercent: 0 }),
      },
    ),
  );
  const settings = { hashesSourceIp: true };
  await path.listeners.update(listenerConfig([chain([tcpFilter("app", settings)])]));
  const seen = new Set<string>();
  for (let i = 0; i < 12; i++) {
    const client = new RawClient(path.port());
    await client.isEnded();
    seen.add(client.text);
    client.socket.destroy();
  }
  assert.equal(seen.size, 1);
  path.stop();
  for (const server of servers) server.stop();
});

test("connections to an endpoint end when its health checks fail, where that is configured", async () => {
  let status = 200;
  const health = await httpServer((_req, res) => {
    res.statusCode = status;
    res.end();
  });
  const server = await rawServer((socket) => socket.write("hi"));
  const path = dataPath();
  const { healthCheck } =
    resources.clusterConfig(`{ name: c, type: STATIC, health_checks: [{ timeout: 1s, interval: 0.02s,
    no_traffic_interval: 0.02s, unhealthy_threshold: 1, healthy_threshold: 1, http_health_check: { path: / } }] }`);
  const place = { host: "", port: health.port, hostname: "", isDisabled: false };
  const endpoints = plainEndpointSet("app", [endpointConfig(server.port, { healthCheck: place })]);
  path.clusters.update(clusterOn("app", [], { endpoints, healthCheck, closesConnectionsOnFailure: true }));
  await path.listeners.update(listenerConfig([chain([tcpFilter("app")])]));
  await until(() => path.clusters.get("app")?.isWarm === true);
  const client = new RawClient(path.port());
  await client.sees("hi");
  status = 500;
  await client.isEnded();
  client.socket.destroy();
  await until(() => path.clusters.describe()[0]?.counters.connections === 0);
  path.stop();
  server.stop();
  health.stop();
});
