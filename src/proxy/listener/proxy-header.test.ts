// The PROXY header of a client, before inspectors and filters see the connection.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { test } from "node:test";
import { ManualClock } from "#base/time/clock.ts";
import { encodeProxyV1, encodeProxyV2 } from "#wire/proxy-protocol/encode.ts";
import type { ProxyAddresses, ProxyTlv } from "#wire/proxy-protocol/proxy-header.ts";
import { decodeListener } from "../config/decode-listener.ts";
import * as resources from "../config/testing/resources.ts";
import { Stats } from "../stats/stats.ts";
import { clusterOn, dataPath, type TestDataPath } from "./testing/data-path.ts";
import { RawClient, type RawServer, rawServer } from "./testing/raw-peers.ts";
import { until } from "./testing/requests.ts";

const type = "type.googleapis.com/envoy.extensions.filters";
const inspector = `{ name: tls, typed_config: { "@type": ${type}.listener.tls_inspector.v3.TlsInspector } }`;
const proxyFilter = (fields = ""): string =>
  `{ name: proxy, typed_config: { "@type": ${type}.listener.proxy_protocol.v3.ProxyProtocol${fields === "" ? "" : `, ${fields}`} } }`;
const tcp = `{ name: tcp, typed_config: { "@type": ${type}.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: app,
  access_log: [{ name: f, typed_config: { "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog,
    path: test, log_format: { json_format: { client: "%DOWNSTREAM_REMOTE_ADDRESS%", local: "%DOWNSTREAM_LOCAL_ADDRESS%" } } } }] } }`;
const yaml = (filters: readonly string[], chains: readonly string[] = [`{ filters: [${tcp}] }`], more = ""): string =>
  `{ name: test, address: { socket_address: { address: 127.0.0.1, port_value: 0 } }, ${more}
     listener_filters: [${filters.join(", ")}], filter_chains: [${chains.join(", ")}] }`;

const client: ProxyAddresses = {
  family: "ipv4",
  isDatagram: false,
  source: "203.0.113.7",
  sourcePort: 40000,
  destination: "192.0.2.1",
  destinationPort: 443,
};

interface Running {
  readonly path: TestDataPath;
  readonly server: RawServer;
  readonly stat: (name: string) => number | undefined;
  readonly clock: ManualClock;
  stop(): void;
}

async function serve(text: string): Promise<Running> {
  const server = await rawServer((socket) => {
    socket.write("hi ");
    socket.on("data", (data) => socket.write(data));
  });
  const stats = new Stats();
  const clock = new ManualClock(1000);
  const path = dataPath({ stats, clock, now: () => clock.now() });
  path.clusters.update(clusterOn("app", [server.port]));
  await path.listeners.update(resources.listenerConfig(text));
  const stop = (): void => {
    path.stop();
    server.stop();
  };
  return { path, server, clock, stop, stat: (name) => stats.values().find((it) => it.name === name)?.value };
}

for (const [version, header] of [
  [1, encodeProxyV1(client)],
  [2, encodeProxyV2(client, [], true)],
] as const) {
  test(`a header of version ${version} gives the client's address, byte by byte or with what follows it`, async () => {
    const { path, stat, stop } = await serve(yaml([proxyFilter()]));
    const slow = new RawClient(path.port());
    slow.socket.setNoDelay(true);
    for (const byte of header) {
      slow.send(Buffer.from([byte]));
      await new Promise((resolve) => setImmediate(resolve));
    }
    await slow.sees("hi ");
    const quick = new RawClient(path.port());
    quick.send(Buffer.concat([header, Buffer.from("hello")]));
    await quick.sees("hi hello");
    for (const socket of [slow.socket, quick.socket]) socket.resetAndDestroy();
    await until(() => path.logs.length === 2);
    assert.deepEqual(path.logs[0], { client: "203.0.113.7:40000", local: "192.0.2.1:443" });
    assert.equal(stat(`proxy_proto.versions.v${version}.found`), 2);
    stop();
  });
}

test("LOCAL and UNKNOWN leave the connection's own addresses", async () => {
  const { path, stop } = await serve(yaml([proxyFilter()]));
  for (const header of [encodeProxyV1(null), encodeProxyV2(null, [], false)]) {
    const socket = new RawClient(path.port());
    socket.send(header);
    await socket.sees("hi");
    socket.socket.resetAndDestroy();
  }
  await until(() => path.logs.length === 2);
  for (const log of path.logs) assert.match(String(log["client"]), /^127\.0\.0\.1:/);
  stop();
});

test("a connection without a header is refused, unless that is allowed, and a wrong header always is", async () => {
  const strict = await serve(yaml([proxyFilter()]));
  const lax = await serve(yaml([proxyFilter("allow_requests_without_proxy_protocol: true, stat_prefix: edge")]));
  const bare = new RawClient(strict.path.port());
  bare.send("GET / HTTP/1.1\r\n");
  await bare.isEnded();
  assert.equal(bare.text, "");
  assert.equal(strict.stat("proxy_proto.not_found_disallowed"), 1);
  const allowed = new RawClient(lax.path.port());
  allowed.send("GET / HTTP/1.1\r\n");
  await allowed.sees("hi GET / HTTP/1.1");
  assert.equal(lax.stat("proxy_proto.edge.not_found_allowed"), 1);
  const wrong = new RawClient(lax.path.port());
  wrong.send("PROXY TCP4 1.2.3.4 1.2.3.4 1 99999\r\nhello");
  await wrong.isEnded();
  assert.equal(wrong.text, "");
  assert.equal(lax.stat("proxy_proto.edge.versions.v1.error"), 1);
  allowed.socket.destroy();
  strict.stop();
  lax.stop();
});

test("a version that is not allowed is refused, or is no header at all where none is needed", async () => {
  const strict = await serve(yaml([proxyFilter("disallowed_versions: [V1]")]));
  const refused = new RawClient(strict.path.port());
  refused.send(encodeProxyV1(client));
  await refused.isEnded();
  assert.equal(strict.stat("proxy_proto.versions.v1.disallowed"), 1);
  strict.stop();
  const lax = await serve(
    yaml([proxyFilter("disallowed_versions: [V1], allow_requests_without_proxy_protocol: true")]),
  );
  const passed = new RawClient(lax.path.port());
  passed.send(encodeProxyV1(client));
  await passed.sees("hi PROXY TCP4 203");
  passed.socket.destroy();
  lax.stop();
});

test("extensions become metadata that RBAC can ask for", async () => {
  const rule = "rules: [{ tlv_type: 0xEA, on_tlv_present: { key: vpc } }]";
  const policies = `{ yes: { permissions: [{ metadata: { filter: envoy.filters.listener.proxy_protocol, path: [{ key: vpc }],
    value: { string_match: { exact: vpc-1 } } } }], principals: [{ any: true }] } }`;
  const rbac = `{ name: r, typed_config: { "@type": ${type}.network.rbac.v3.RBAC, stat_prefix: r., rules: { policies: ${policies} } } }`;
  const { path, stop } = await serve(yaml([proxyFilter(rule)], [`{ filters: [${rbac}, ${tcp}] }`]));
  const from = (name: string): RawClient => {
    const tlv: ProxyTlv = { type: 0xea, value: Buffer.from(name) };
    const socket = new RawClient(path.port());
    socket.send(encodeProxyV2(client, [tlv], false));
    return socket;
  };
  const good = from("vpc-1");
  await good.sees("hi");
  const bad = from("vpc-2");
  await bad.isEnded();
  assert.equal(bad.text, "");
  good.socket.destroy();
  stop();
});

test("filter chains and inspectors see what follows the header, by the header's addresses", async () => {
  const chains = [
    `{ name: tenant, filter_chain_match: { server_names: [a.example] }, filters: [${tcp}] }`,
    `{ name: lb, filter_chain_match: { source_prefix_ranges: [{ address_prefix: 203.0.113.0, prefix_len: 24 }], direct_source_prefix_ranges: [{ address_prefix: 127.0.0.0, prefix_len: 8 }] }, filters: [${tcp}] }`,
  ];
  const { path, stop } = await serve(yaml([proxyFilter(), inspector], chains));
  const known = new RawClient(path.port());
  known.send(Buffer.concat([encodeProxyV1(client), Buffer.from("plain")]));
  await known.sees("hi plain");
  const other = new RawClient(path.port());
  other.send(Buffer.concat([encodeProxyV1({ ...client, source: "198.51.100.1" }), Buffer.from("plain")]));
  await other.isEnded();
  assert.equal(other.text, "");
  known.socket.destroy();
  stop();
});

test("a header that does not come in time is refused, however patient the listener is", async () => {
  const { path, clock, stop } = await serve(
    yaml([proxyFilter()], undefined, "listener_filters_timeout: 0s, continue_on_listener_filters_timeout: true,"),
  );
  const silent = new RawClient(path.port());
  const begun = new RawClient(path.port());
  begun.send("PROXY TCP4 1.2");
  await until(() => path.listeners.connectionCount === 2);
  clock.advance(10_000);
  await silent.isEnded();
  await begun.isEnded();
  assert.equal(silent.text + begun.text, "");
  stop();
});

test("HTTP tells the application the client's address from the header", async () => {
  const web = createServer((req, res) => res.end(String(req.headers["x-forwarded-for"])));
  await new Promise<void>((resolve) => web.listen(0, "127.0.0.1", resolve));
  const { port } = web.address() as { port: number };
  const hcm = `{ name: h, typed_config: { "@type": ${type}.network.http_connection_manager.v3.HttpConnectionManager, stat_prefix: h,
    use_remote_address: true,
    route_config: { name: r, virtual_hosts: [{ name: v, domains: ["*"], routes: [{ match: { prefix: / }, route: { cluster: web } }] }] },
    http_filters: [{ name: router, typed_config: { "@type": ${type}.http.router.v3.Router } }] } }`;
  const { path, stop } = await serve(yaml([proxyFilter()], [`{ filters: [${hcm}] }`]));
  path.clusters.update(clusterOn("web", [port]));
  const socket = new RawClient(path.port());
  socket.send(encodeProxyV1(client));
  socket.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  await socket.isEnded();
  assert.match(socket.text, /203\.0\.113\.7$/m);
  stop();
  web.close();
});

test("proxy_protocol behind an inspector, and original_src, are refused", () => {
  const refusal = (filters: readonly string[]): string =>
    resources.refusalOf(decodeListener(resources.listenerOf(yaml(filters))));
  assert.match(refusal([inspector, proxyFilter()]), /must stand before the inspectors/);
  const source = `{ name: s, typed_config: { "@type": ${type}.listener.original_src.v3.OriginalSrc } }`;
  assert.match(refusal([source]), /original_src/);
});
