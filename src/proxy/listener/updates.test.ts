// New configurations under open connections: what did not change stays, what changed ends at a safe point, and what would
// not be let in any more is closed and said so.
import assert from "node:assert/strict";
import { createServer as createWebServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { type Logger, silentLogger } from "#base/log/log.ts";
import { ManualClock } from "#base/time/clock.ts";
import type { ListenerConfig } from "../config/listener.ts";
import * as resources from "../config/testing/resources.ts";
import { Stats } from "../stats/stats.ts";
import {
  chain as builtChain,
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
import { RawClient, type RawServer, rawServer } from "./testing/raw-peers.ts";
import { until } from "./testing/requests.ts";

const type = "type.googleapis.com/envoy.extensions.filters";
const tcp = (prefix: string, more = ""): string =>
  `{ name: tcp, typed_config: { "@type": ${type}.network.tcp_proxy.v3.TcpProxy, stat_prefix: ${prefix}, cluster: app${more} } }`;
const limit = (max: number): string =>
  `{ name: l, typed_config: { "@type": ${type}.network.connection_limit.v3.ConnectionLimit, stat_prefix: c, max_connections: ${max} } }`;
const rbac = (action: string, port: number): string =>
  `{ name: r, typed_config: { "@type": ${type}.network.rbac.v3.RBAC, stat_prefix: tcp., rules: { action: ${action}, policies: { p: { permissions: [{ destination_port: ${port} }], principals: [{ any: true }] } } } } }`;
const http = (prefix: string): string =>
  `{ name: h, typed_config: { "@type": ${type}.network.http_connection_manager.v3.HttpConnectionManager, stat_prefix: ${prefix},
  route_config: { name: r, virtual_hosts: [{ name: v, domains: ["*"], routes: [{ match: { prefix: / }, route: { cluster: web } }] }] },
  http_filters: [{ name: router, typed_config: { "@type": ${type}.http.router.v3.Router } }] } }`;
const chain = (filters: readonly string[], match = "{}", name = ""): string =>
  `{ name: "${name}", filter_chain_match: ${match}, filters: [${filters.join(", ").replaceAll("\n", " ")}] }`;
const inspectors = `listener_filters: [{ name: tls, typed_config: { "@type": ${type}.listener.tls_inspector.v3.TlsInspector } }]`;
const listener = (chains: readonly string[], more = inspectors): ListenerConfig =>
  resources.listenerConfig(
    `{ name: test, address: { socket_address: { address: 127.0.0.1, port_value: 0 } }, ${more}, filter_chains: [${chains.join(", ")}] }`,
  );

interface Running {
  readonly path: TestDataPath;
  readonly server: RawServer;
  readonly lines: string[];
  readonly stats: Stats;
  stop(): void;
}

async function serve(config: ListenerConfig): Promise<Running> {
  const server = await rawServer((socket) => socket.on("data", (data) => socket.write(data)));
  const lines: string[] = [];
  const log: Logger = { ...silentLogger, warn: (line) => void lines.push(line) };
  const stats = new Stats();
  const path = dataPath({ log, stats });
  path.clusters.update(clusterOn("app", [server.port]));
  await path.listeners.update(config);
  const stop = (): void => {
    path.stop();
    server.stop();
  };
  return { path, server, lines, stats, stop };
}

let rounds = 0;
async function echoes(client: RawClient): Promise<void> {
  const text = `round ${++rounds};`;
  client.send(text);
  await client.sees(text);
}

test("1000 new configurations, each with another chain beside it, leave an open connection and its limit alone", async () => {
  const own = chain([limit(1), tcp("own")], "{ transport_protocol: raw_buffer }", "own");
  const other = (i: number): string => chain([tcp(`other_${i}`)], "{ transport_protocol: tls }", "other");
  const { path, stats, lines, stop } = await serve(listener([own, other(0)]));
  const client = new RawClient(path.port());
  await echoes(client);
  for (let i = 1; i <= 1000; i++) {
    await path.listeners.update(listener([own, other(i)]));
    path.clusters.update(clusterOn(`cluster-${i % 7}`, [1]));
    if (i % 100 === 0) await echoes(client);
  }
  assert.equal(client.ended, false);
  assert.deepEqual(lines, []);
  // The limit still knows of the connection: another one is too many.
  const second = new RawClient(path.port());
  second.send("x");
  await second.isEnded();
  assert.equal(second.text, "");
  assert.equal(stats.values().find(({ name }) => name === "connection_limit.c.active_connections")?.value, 1);
  client.socket.resetAndDestroy();
  await until(() => path.listeners.connectionCount === 0);
  stop();
});

test("1000 new configurations of its own chain leave a TCP connection open", async () => {
  const { path, lines, stop } = await serve(listener([chain([tcp("t")])]));
  const client = new RawClient(path.port());
  await echoes(client);
  for (let i = 0; i < 1000; i++) {
    await path.listeners.update(
      listener([chain([rbac("ALLOW", path.port()), tcp(`t${i}`, `, idle_timeout: ${i + 10}s`)])]),
    );
    if (i % 250 === 0) await echoes(client);
  }
  await echoes(client);
  assert.deepEqual(lines, []);
  client.socket.destroy();
  stop();
});

test("a policy that now denies an open connection closes it, and the log says which", async () => {
  const { path, lines, stop } = await serve(listener([chain([tcp("t")])]));
  const client = new RawClient(path.port());
  await echoes(client);
  await path.listeners.update(listener([chain([rbac("DENY", path.port()), tcp("t")])]));
  await client.isEnded();
  assert.match(
    lines.join("\n"),
    /closed 127\.0\.0\.1:\d+ → 127\.0\.0\.1:\d+: a change of configuration: .*denied by p/,
  );
  stop();
});

test("an open plaintext connection is closed when only TLS is served any more", async () => {
  const raw = chain([tcp("raw")], "{ transport_protocol: raw_buffer }", "raw");
  const { path, lines, stop } = await serve(listener([raw]));
  const client = new RawClient(path.port());
  await echoes(client);
  const tls = `{ name: tls, typed_config: { "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext, common_tls_context: { tls_certificate_sds_secret_configs: [{ name: default }] } } }`;
  const secured = chain([tcp("tls")], "{ transport_protocol: tls }", "tls").replace(
    / }$/,
    `, transport_socket: ${tls} }`,
  );
  await path.listeners.update(listener([secured]));
  await client.isEnded();
  assert.match(lines.join("\n"), /a change of configuration: TLS is required now/);
  stop();
});

test("connections that nobody looked into are not closed because chains now differ by what is inside", async () => {
  const { path, lines, stop } = await serve(listener([chain([tcp("t")])]));
  const client = new RawClient(path.port());
  await echoes(client);
  const inspected = `listener_filters: [{ name: http, typed_config: { "@type": ${type}.listener.http_inspector.v3.HttpInspector } }]`;
  await path.listeners.update(listener([chain([http("h")], '{ application_protocols: ["http/1.1"] }')], inspected));
  await echoes(client);
  assert.deepEqual(lines, []);
  client.socket.destroy();
  stop();
});

test("HTTP on a changed chain ends after the next answer, on an unchanged one it goes on", async () => {
  const web = createWebServer((_req, res) => res.end("ok")).listen(0, "127.0.0.1");
  await new Promise((resolve) => web.once("listening", resolve));
  const both = (prefix: string): ListenerConfig =>
    listener([
      chain([http(prefix)], "{ source_prefix_ranges: [{ address_prefix: 127.0.0.2, prefix_len: 32 }] }", "changing"),
      chain([http("same")], "{}", "same"),
    ]);
  const { path, stop } = await serve(both("one"));
  path.clusters.update(clusterOn("web", [(web.address() as AddressInfo).port]));
  const request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
  const changing = new RawClient(path.port(), "127.0.0.2");
  const same = new RawClient(path.port());
  for (const client of [changing, same]) {
    client.send(request);
    await client.sees("ok");
  }
  await path.listeners.update(both("two"));
  await changing.isEnded();
  same.send(request);
  await same.sees(/ok[\s\S]*ok/);
  assert.equal(same.ended, false);
  same.socket.destroy();
  changing.socket.destroy();
  stop();
  web.closeAllConnections();
  web.close();
});

test("a removed listener takes nobody new, its TCP connections go on, and its end is seen when they are over", async () => {
  const { path, stop } = await serve(listener([chain([tcp("t")])]));
  const port = path.port();
  const client = new RawClient(port);
  await echoes(client);
  path.listeners.remove("test");
  const late = new RawClient(port);
  await late.isClosed();
  assert.equal(late.error, "ECONNREFUSED");
  await echoes(client);
  assert.equal(path.listeners.connectionCount, 1);
  client.socket.resetAndDestroy();
  await until(() => path.listeners.connectionCount === 0);
  stop();
});

test("a gradual drain asks more and more clients to leave, and in the end all of them", async (t) => {
  const upstream = await httpServer((_req, res) => res.end("ok"));
  const clock = new ManualClock(1_000_000);
  let draw = 0;
  const path = dataPath({ clock, random: () => draw });
  t.after(() => [path, upstream].forEach((it) => it.stop()));
  path.clusters.update(clusterOn("up", [upstream.port]));
  await path.listeners.update(
    listenerConfig([builtChain([httpFilter(managerConfig([routeEntry("/", forward("up"))]))])]),
  );
  const isAsked = async (at: number): Promise<boolean> => {
    draw = at;
    const response = await fetch(`http://127.0.0.1:${path.port()}/`);
    await response.text();
    return response.headers.get("connection") === "close";
  };
  path.listeners.startDraining({ inboundOnly: false, gradualMs: 10_000 });
  assert.equal(await isAsked(0.01), false);
  clock.advance(3000);
  assert.deepEqual([await isAsked(0.29), await isAsked(0.31)], [true, false]);
  clock.advance(6000);
  assert.deepEqual([await isAsked(0.89), await isAsked(0.91)], [true, false]);
  path.listeners.startDraining();
  assert.equal(await isAsked(0.99), true, "then at once");
});

test("a listener whose drain_type is MODIFY_ONLY is left alone when the proxy drains", async () => {
  const web = createWebServer((_req, res) => res.end("ok")).listen(0, "127.0.0.1");
  await new Promise((resolve) => web.once("listening", resolve));
  const { path, stop } = await serve(listener([chain([http("h")])], `${inspectors}, drain_type: MODIFY_ONLY`));
  path.clusters.update(clusterOn("web", [(web.address() as AddressInfo).port]));
  const client = new RawClient(path.port());
  await until(() => path.listeners.connectionCount === 1);
  path.listeners.startDraining();
  client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  await client.sees("ok");
  assert.doesNotMatch(client.text, /connection: close/i);
  client.socket.destroy();
  stop();
  web.closeAllConnections();
  web.close();
});
