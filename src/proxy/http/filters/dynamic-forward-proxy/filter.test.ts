// Requests that go to whatever host they name: looked up once, told when there is no such host, bounded, and over TLS
// only to who the host is.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { after, before, type TestContext, test } from "node:test";
import type { TLSSocket } from "node:tls";
import { silentLogger } from "#base/log/log.ts";
import { SecretStore } from "#wire/tls/secrets.ts";
import { decodeCluster } from "../../../config/decode-cluster.ts";
import * as resources from "../../../config/testing/resources.ts";
import { newTrace } from "../../../config/trace.ts";
import { decideGateway } from "../../../decide/decide.ts";
import { type TestAuthority, testAuthority } from "../../../listener/testing/certificates.ts";
import { chain, httpFilter, listenerConfig, managerConfig } from "../../../listener/testing/data-path.ts";
import { type FilterBench, filterBench } from "../../../listener/testing/filter-bench.ts";
import { ask, until } from "../../../listener/testing/requests.ts";
import { Stats } from "../../../stats/stats.ts";
import { EventLoop } from "../../../transport/event-loop.ts";
import { ClusterManager } from "../../../upstream/cluster-manager.ts";
import type { DnsAnswer } from "../../../upstream/dns/resolve-dns.ts";

let authority: TestAuthority;
before(() => {
  authority = testAuthority();
});
after(() => authority.stop());

const cache = "{ name: names, dns_lookup_family: V4_ONLY, max_hosts: 4 }";
const filters = `[{ name: dfp, typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.dynamic_forward_proxy.v3.FilterConfig, dns_cache_config: ${cache} } }]`;
const anywhere = "routes: [{ match: { prefix: / }, route: { cluster: any } }]";
const cluster = (more = "", caches = cache): string => `
name: any
lb_policy: CLUSTER_PROVIDED
cluster_type:
  name: envoy.clusters.dynamic_forward_proxy
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig
    dns_cache_config: ${caches}
${more}`;

interface Bench extends FilterBench {
  readonly asked: string[];
  readonly answers: Map<string, Partial<DnsAnswer>>;
  readonly secrets: SecretStore;
  readonly port: number;
  /** Lookups that are not answered yet. */
  readonly open: (() => void)[];
}

/** Names are looked up in `answers`; those that are not there stay without an answer. */
async function bench(
  t: TestContext,
  options: { cluster?: string; routes?: string; filters?: string } = {},
): Promise<Bench> {
  const asked: string[] = [];
  const open: (() => void)[] = [];
  const answers = new Map<string, Partial<DnsAnswer>>([["a.example", { addresses: ["127.0.0.1"] }]]);
  const loop = new EventLoop({ sweepMs: 20 });
  const stats = new Stats();
  const secrets = new SecretStore();
  const clusters = new ClusterManager({
    loop,
    secrets,
    log: silentLogger,
    stats,
    resolve: ({ host }, done) => {
      asked.push(host);
      const tell = (): void => done({ addresses: [], ttlMs: null, error: null, ...answers.get(host) });
      if (answers.has(host)) setImmediate(tell);
      else open.push(tell);
    },
  });
  let port = 0;
  const made = await filterBench({
    filters: options.filters ?? filters,
    routes: options.routes ?? anywhere,
    upstream: (req, res) => {
      port = (req.socket.address() as AddressInfo).port;
      res.end(`${req.headers.host} at ${req.url}`);
    },
    path: { loop, clusters, stats, explainToClients: true },
  });
  t.after(made.stop);
  clusters.update(resources.clusterConfig(options.cluster ?? cluster()));
  port = clusters.get("app")?.endpoints[0]?.config.port ?? 0;
  const stat = (name: string): number | undefined => stats.values().find((it) => it.name === name)?.value;
  return { ...made, stat, asked, answers, open, secrets, port };
}

test("a request goes to the host that it names, which is looked up once", async (t) => {
  const { path, port, asked, stat } = await bench(t);
  const host = `a.example:${port}`;
  for (const target of ["/1", "/2"]) {
    assert.equal((await ask(path, target, { headers: { host } })).body, `${host} at ${target}`);
  }
  assert.deepEqual(asked, ["a.example"]);
  assert.equal(stat("dns_cache.names.dns_query_success"), 1);
  const endpoint = path.clusters.get("any")?.endpoints[0];
  assert.deepEqual([endpoint?.config.hostname, endpoint?.config.key], ["a.example", `127.0.0.1:${port}`]);
});

test("requests wait together for one lookup, and one that goes away does not hurt the others", async (t) => {
  const { path, port, asked, open, answers } = await bench(t);
  const headers = { host: `slow.example:${port}` };
  const gone = new AbortController();
  const first = ask(path, "/gone", { headers, signal: gone.signal }).catch(() => "gone");
  const others = ["/1", "/2"].map((target) => ask(path, target, { headers, method: "POST" }, "body"));
  await until(() => open.length === 1);
  gone.abort();
  assert.equal(await first, "gone");
  answers.set("slow.example", { addresses: ["127.0.0.1"] });
  open[0]?.();
  assert.deepEqual(
    (await Promise.all(others)).map(({ status }) => status),
    [200, 200],
  );
  assert.deepEqual(asked, ["slow.example"]);
});

test("a host without an address is answered with DF, and says so", async (t) => {
  const { path, answers } = await bench(t);
  answers.set("none.example", {});
  answers.set("broken.example", { error: "SERVFAIL" });
  const none = await ask(path, "/", { headers: { host: "none.example" } });
  assert.deepEqual([none.status, none.body.split("\n")[0]], [503, "DNS resolution failure"]);
  assert.match(none.body, /cluster any: none\.example can't be resolved: it has no address/);
  assert.equal((await ask(path, "/", { headers: { host: "broken.example" } })).status, 503);
  await until(() => path.logs.length === 2);
  assert.deepEqual(
    path.logs.map((line) => [line["responseFlags"], line["responseCodeDetails"]]),
    [
      ["DF", "dns_resolution_failure{it_has_no_address}"],
      ["DF", "dns_resolution_failure{SERVFAIL}"],
    ],
  );
});

test("hosts above max_hosts are refused, and what is no host is not looked up", async (t) => {
  const { path, asked, answers, stat } = await bench(t);
  for (let i = 0; i < 5; i++) answers.set(`h${i}.example`, { addresses: [] });
  for (let i = 0; i < 4; i++) await ask(path, "/", { headers: { host: `h${i}.example` } });
  const full = await ask(path, "/", { headers: { host: "h4.example" } });
  assert.match(full.body, /^DNS cache overflow\n.*h4\.example:80: the DNS cache names has 4 hosts/);
  assert.equal(stat("dns_cache.names.host_overflow"), 1);
  const strange = await ask(path, "/", { headers: { host: "a!b.example" } });
  assert.equal(strange.status, 503);
  assert.equal(asked.length, 4);
});

test("the host is what the route makes of it", async (t) => {
  const perRoute = (rewrite: string): string =>
    `{ dfp: { "@type": type.googleapis.com/envoy.extensions.filters.http.dynamic_forward_proxy.v3.PerRouteConfig, ${rewrite} } }`;
  const { path, port, asked } = await bench(t, {
    routes: `routes:
- { match: { prefix: /literal }, route: { cluster: any }, typed_per_filter_config: ${perRoute('host_rewrite_literal: "a.example:PORT"')} }
- { match: { prefix: /header }, route: { cluster: any }, typed_per_filter_config: ${perRoute("host_rewrite_header: x-host")} }
- { match: { prefix: /route }, route: { cluster: any, host_rewrite_header: x-host } }`,
  });
  const host = `a.example:${port}`;
  for (const target of ["/header", "/route"]) {
    const answer = await ask(path, target, { headers: { host: "other.example", "x-host": host } });
    assert.equal(answer.body, `${host} at ${target}`);
  }
  // The literal's port is no port.
  assert.equal((await ask(path, "/literal", { headers: { host: "other.example" } })).status, 503);
  assert.deepEqual(asked, ["a.example"]);
});

test("without a filter for its DNS cache such a cluster goes nowhere, and says why", async (t) => {
  const { path } = await bench(t, { cluster: cluster("", "{ name: others }") });
  const answer = await ask(path, "/", { headers: { host: "a.example" } });
  assert.match(answer.body, /no dynamic_forward_proxy filter with the DNS cache others looked the host up/);
});

const tls = (
  more: string,
  options = "upstream_http_protocol_options: { auto_sni: true, auto_san_validation: true }",
): string =>
  cluster(`transport_socket:
  name: tls
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
    common_tls_context: { validation_context: { trusted_ca: { inline_string: ${JSON.stringify(authority.roots)} } } }
typed_extension_protocol_options:
  envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
    "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
    ${options}
    explicit_http_config: { http_protocol_options: {} }
${more}`);

test("over TLS each host is told its own name and must prove it", async (t) => {
  const { certificateChain: cert, privateKey: key } = authority.issueFor("DNS:a.example");
  const server = createServer({ cert, key }, (req, res) => {
    res.end(`${String((req.socket as TLSSocket & { servername: string }).servername)} ${req.headers.host}`);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const { path, answers } = await bench(t, { cluster: tls("") });
  answers.set("b.example", { addresses: ["127.0.0.1"] });
  const good = await ask(path, "/", { headers: { host: `a.example:${port}` } });
  assert.equal(good.body, `a.example a.example:${port}`);
  const other = await ask(path, "/", { headers: { host: `b.example:${port}` } });
  assert.equal(other.status, 503);
  assert.match(other.body, /the peer is a\.example, wanted is host "b\.example"/);
});

test("a cluster is refused that does not follow the host's name over TLS without saying so, or asks for what is not there", () => {
  const refusal = (yaml: string): string => resources.refusalOf(decodeCluster(resources.clusterOf(yaml)));
  assert.equal(refusal(tls("")), "");
  assert.match(
    refusal(tls("", "upstream_http_protocol_options: { auto_sni: true }")),
    /allow_insecure_cluster_options/,
  );
  assert.match(refusal(cluster().replace("lb_policy: CLUSTER_PROVIDED", "")), /a dynamic forward proxy does/);
  assert.match(refusal(cluster("", "{}")), /dns_cache_config.name: is missing/);
  assert.match(refusal(cluster("", "{ name: a, dns_refresh_rate: 0s }")), /dns_refresh_rate: is below 1 ms/);
  assert.match(refusal(cluster("load_assignment: { cluster_name: any }")), /the hosts are what clients name/);
});

test("explain names the host and its port, and refuses as live traffic is refused", () => {
  const routes = resources.routeConfig(`{ name: r, virtual_hosts: [{ name: all, domains: ["*"], ${anywhere} }] }`);
  const decideWith = (yaml: string, authorityText: string, lookedUp = true): ReturnType<typeof decideGateway> => {
    const any = resources.clusterConfig(yaml);
    const decide = lookedUp ? () => ({ refusal: null, authorization: null, dnsCache: "names" }) : () => null;
    const filter = { name: "dfp", type: "dynamic_forward_proxy", settings: null, disabled: false, decide };
    const manager = managerConfig(routes, { httpFilters: [filter] });
    const listener = { ...listenerConfig([chain([httpFilter(manager)])]), port: 80, host: "10.0.0.1" };
    const view = {
      listeners: new Map([["l", listener]]),
      routes: new Map(),
      clusters: new Map([["any", any]]),
      endpoints: new Map(),
      extensions: new Map(),
      local: null,
    };
    const http = { method: "GET", authority: authorityText, path: "/", headers: {} };
    const question = {
      destinationIp: "10.0.0.1",
      destinationPort: 80,
      sourceIp: "10.0.0.2",
      tls: null,
      http,
      random: 0,
    };
    return decideGateway(view, question, newTrace());
  };
  assert.equal(decideWith(cluster(), "api.example.com").endpoint?.key, "api.example.com:80");
  assert.equal(decideWith(tls(""), "api.example.com").endpoint?.key, "api.example.com:443");
  assert.equal(decideWith(cluster(), "api.example.com:8080").endpoint?.port, 8080);
  assert.match(decideWith(cluster(), "not a host").reason, /is told no host/);
  assert.match(decideWith(cluster(), "api.example.com", false).reason, /is told no host/);
});
