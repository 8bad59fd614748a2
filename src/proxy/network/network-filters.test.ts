// The network filters beside tcp_proxy, each read from its own message and seen on the wire.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "#base/time/clock.ts";
import { decodeListener } from "../config/decode-listener.ts";
import type { ListenerConfig } from "../config/listener.ts";
import * as resources from "../config/testing/resources.ts";
import { newTrace } from "../config/trace.ts";
import { decideGateway } from "../decide/decide.ts";
import { clusterOn, dataPath, type TestDataPath } from "../listener/testing/data-path.ts";
import { RawClient, type RawServer, rawServer } from "../listener/testing/raw-peers.ts";
import { until } from "../listener/testing/requests.ts";
import { Stats } from "../stats/stats.ts";

const type = "type.googleapis.com/envoy.extensions.filters.network";
const toApp = `{ name: tcp, typed_config: { "@type": ${type}.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: app,
  access_log: [{ name: f, typed_config: { "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog,
    path: test, log_format: { json_format: { flags: "%RESPONSE_FLAGS%", details: "%CONNECTION_TERMINATION_DETAILS%", cluster: "%UPSTREAM_CLUSTER%" } } } }] } }`;

const yaml = (filters: readonly string[], match = "{}"): string => `
name: test
address: { socket_address: { address: 127.0.0.1, port_value: 0 } }
listener_filters:
- { name: tls, typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector } }
filter_chains:
- filter_chain_match: ${match}
  filters: [${filters.join(", ").replaceAll("\n", " ")}]`;

const listener = (...filters: readonly string[]): ListenerConfig => resources.listenerConfig(yaml(filters));

interface Running {
  readonly path: TestDataPath;
  readonly server: RawServer;
  readonly clock: ManualClock;
  stat(name: string): number | undefined;
  stop(): void;
}

async function serve(config: ListenerConfig): Promise<Running> {
  const server = await rawServer((socket) => socket.write("app"));
  const clock = new ManualClock(1000);
  const stats = new Stats();
  const path = dataPath({ clock, now: () => clock.now(), stats });
  path.clusters.update(clusterOn("app", [server.port]));
  await path.listeners.update(config);
  const stop = (): void => {
    path.stop();
    server.stop();
  };
  return { path, server, clock, stop, stat: (name) => stats.values().find((it) => it.name === name)?.value };
}

test("connection_limit closes one too many, and takes a new one when another has ended", async () => {
  const limit = `{ name: l, typed_config: { "@type": ${type}.connection_limit.v3.ConnectionLimit, stat_prefix: c, max_connections: 2 } }`;
  const { path, stat, stop } = await serve(listener(limit, toApp));
  const good = [new RawClient(path.port()), new RawClient(path.port())];
  for (const client of good) await client.sees("app");
  const third = new RawClient(path.port());
  await third.isEnded();
  assert.equal(third.text, "");
  assert.equal(stat("connection_limit.c.active_connections"), 2);
  assert.equal(stat("connection_limit.c.limited_connections"), 1);
  assert.equal(path.logs[0]?.["details"], "connection_limit_reached");
  good[0]?.socket.resetAndDestroy();
  await until(() => stat("connection_limit.c.active_connections") === 1);
  const fourth = new RawClient(path.port());
  await fourth.sees("app");
  for (const client of [...good, fourth]) client.socket.resetAndDestroy();
  stop();
});

test("connection_limit with a delay holds what it refuses, and no more of these than of good ones", async () => {
  const limit = `{ name: l, typed_config: { "@type": ${type}.connection_limit.v3.ConnectionLimit, stat_prefix: c, max_connections: 1, delay: 2s } }`;
  const { path, stat, clock, stop } = await serve(listener(limit, toApp));
  const good = new RawClient(path.port());
  await good.sees("app");
  const held = new RawClient(path.port());
  await until(() => stat("connection_limit.c.limited_connections") === 1);
  const atOnce = new RawClient(path.port());
  await atOnce.isEnded();
  clock.advance(1999);
  assert.equal(held.ended, false);
  clock.advance(1);
  await held.isEnded();
  good.socket.resetAndDestroy();
  stop();
});

test("local_ratelimit lets as many new connections in as there are tokens", async () => {
  const limit = `{ name: l, typed_config: { "@type": ${type}.local_ratelimit.v3.LocalRateLimit, stat_prefix: r, token_bucket: { max_tokens: 2, fill_interval: 1s } } }`;
  const { path, stat, clock, stop } = await serve(listener(limit, toApp));
  const connectOnce = async (): Promise<string> => {
    const client = new RawClient(path.port());
    await until(() => client.text !== "" || client.ended);
    client.socket.resetAndDestroy();
    return client.text;
  };
  assert.deepEqual([await connectOnce(), await connectOnce(), await connectOnce()], ["app", "app", ""]);
  clock.advance(1000);
  assert.deepEqual([await connectOnce(), await connectOnce()], ["app", ""]);
  assert.equal(stat("local_rate_limit.r.rate_limited"), 2);
  assert.ok(path.logs.some((log) => log["flags"] === "RL" && log["details"] === "local_ratelimit_close"));
  stop();
});

test("local_ratelimit filters with one share key and one bucket share it", async () => {
  const limit = (key: string): string =>
    `{ name: l, typed_config: { "@type": ${type}.local_ratelimit.v3.LocalRateLimit, stat_prefix: r, share_key: "${key}", token_bucket: { max_tokens: 1, fill_interval: 1s } } }`;
  const { path, stop } = await serve(listener(limit("k"), limit("k"), toApp));
  const client = new RawClient(path.port());
  await client.isEnded();
  assert.equal(client.text, "", "the second filter found no token");
  stop();
});

test("direct_response says its bytes and closes; echo sends everything back until the client ends", async () => {
  const answer = `{ name: d, typed_config: { "@type": ${type}.direct_response.v3.Config, response: { inline_string: "go away\\n" } } }`;
  const first = await serve(listener(answer));
  const client = new RawClient(first.path.port());
  await client.isEnded();
  assert.equal(client.text, "go away\n");
  client.socket.end();
  await until(() => first.path.listeners.connectionCount === 0);
  first.stop();
  const second = await serve(listener(`{ name: e, typed_config: { "@type": ${type}.echo.v3.Echo } }`));
  const talker = new RawClient(second.path.port());
  const bytes = Buffer.alloc(500_000, "abc");
  talker.send(bytes);
  talker.socket.end();
  await talker.isEnded();
  assert.equal(talker.text, bytes.toString("latin1"));
  await until(() => second.path.listeners.connectionCount === 0);
  second.stop();
});

test("rbac's shadow rules count and let pass, its rules count and close", async () => {
  const deny = (port: number): string =>
    `{ action: DENY, policies: { no: { permissions: [{ destination_port: ${port} }], principals: [{ any: true }] } } }`;
  const filter = (rules: string): string =>
    `{ name: r, typed_config: { "@type": ${type}.rbac.v3.RBAC, stat_prefix: tcp., ${rules} } }`;
  const running = await serve(listener(toApp));
  const port = running.path.port();
  await running.path.listeners.update(
    listener(filter(`shadow_rules_stat_prefix: s_, shadow_rules: ${deny(port)}`), toApp),
  );
  const watched = new RawClient(port);
  await watched.sees("app");
  assert.equal(running.stat("tcp.rbac.s_shadow_denied"), 1);
  await running.path.listeners.update(listener(filter(`rules: ${deny(port)}`), toApp));
  const refused = new RawClient(port);
  await refused.isEnded();
  assert.equal(refused.text, "");
  assert.equal(running.stat("tcp.rbac.denied"), 1);
  assert.equal(running.path.logs.at(-1)?.["details"], "rbac_access_denied_matched_policy[no]");
  watched.socket.resetAndDestroy();
  running.stop();
});

test("explain says what a connection meets: a filter's answer, a refusal, the cluster of the SNI", () => {
  const ask = (filters: readonly string[], tls: { serverName: string } | null) => {
    const config = resources.listenerConfig(yaml(filters).replace("port_value: 0", "port_value: 9000"));
    const view = {
      listeners: new Map([["test", config]]),
      routes: new Map(),
      clusters: new Map([["outbound_.80_._.app", clusterOn("outbound_.80_._.app", [1])]]),
      endpoints: new Map(),
      extensions: new Map(),
      local: null,
    };
    const question = {
      destinationIp: "127.0.0.1",
      destinationPort: 9000,
      sourceIp: "10.0.0.1",
      tls: tls === null ? null : { ...tls, alpn: [], peerId: undefined },
      http: null,
      random: 0,
    };
    return decideGateway(view, question, newTrace());
  };
  const echo = ask([`{ name: e, typed_config: { "@type": ${type}.echo.v3.Echo } }`], null);
  assert.deepEqual([echo.outcome, echo.reason], ["answered", "sends every byte back"]);
  const sni = `{ name: s, typed_config: { "@type": ${type}.sni_cluster.v3.SniCluster } }`;
  const passed = ask([sni, toApp], { serverName: "outbound_.80_._.app" });
  assert.equal(passed.cluster?.name, "outbound_.80_._.app");
  assert.match(ask([sni, toApp], { serverName: "other" }).reason, /cluster other does not exist/);
  const rules = `{ name: r, typed_config: { "@type": ${type}.rbac.v3.RBAC, stat_prefix: t, rules: {} } }`;
  assert.match(ask([rules, toApp], null).reason, /denied/);
});

const refusals: readonly [string, readonly string[], RegExp][] = [
  [
    "a chain that ends nowhere",
    [`{ name: s, typed_config: { "@type": ${type}.sni_cluster.v3.SniCluster } }`],
    /must be terminal/,
  ],
  ["a terminal filter in the middle", [toApp, toApp], /a terminal filter must be the last/],
  [
    "Redis",
    [`{ name: redis, typed_config: { "@type": ${type}.redis_proxy.v3.RedisProxy } }`, toApp],
    /the Redis protocol; Redis passes through tcp_proxy/,
  ],
  [
    "MongoDB",
    [`{ name: mongo, typed_config: { "@type": ${type}.mongo_proxy.v3.MongoProxy } }`, toApp],
    /the MongoDB protocol/,
  ],
  [
    "a forward proxy by SNI without a DNS cache",
    [`{ name: f, typed_config: { "@type": ${type}.sni_dynamic_forward_proxy.v3.FilterConfig } }`, toApp],
    /dns_cache_config: is missing/,
  ],
  [
    "a limit of no connections",
    [`{ name: l, typed_config: { "@type": ${type}.connection_limit.v3.ConnectionLimit, stat_prefix: c } }`, toApp],
    /max_connections: must be at least 1/,
  ],
  [
    "a rate without a bucket",
    [`{ name: l, typed_config: { "@type": ${type}.local_ratelimit.v3.LocalRateLimit, stat_prefix: c } }`, toApp],
    /token_bucket: is missing/,
  ],
];
for (const [name, filters, reason] of refusals) {
  test(`a chain is refused for ${name}`, () => {
    assert.match(resources.refusalOf(decodeListener(resources.listenerOf(yaml(filters)))), reason);
  });
}
