import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeProvenance } from "#wire/xds/provenance.ts";
import { compileListeners, compileProxy, compileRoutes } from "../compile.ts";
import { refusals } from "../testing/accepted.ts";
import { bookinfo, mesh, service, sidecarOf, workload } from "../testing/mesh.ts";
import { describeListener, filterNames, whereGoes } from "../testing/summary.ts";

const client = sidecarOf("productpage", "10.244.0.11");

function listenersOf(snapshot: ReturnType<typeof mesh>): Record<string, string[]> {
  const listeners = compileListeners(snapshot, client);
  assert.deepEqual(refusals(compileProxy(snapshot, client)), []);
  return Object.fromEntries(
    [...listeners]
      .filter(([name]) => !name.startsWith("virtual"))
      .map(([name, listener]) => [name, describeListener(listener)]),
  );
}

test("a TCP service is listened for on its own address", () => {
  const tcp = [{ name: "tcp", number: 3306 }];
  const listeners = listenersOf(
    mesh([service("db", "10.96.0.60", tcp), ...workload("db", tcp, { ip: "10.244.0.60" })]),
  );
  assert.deepEqual(listeners, { "10.96.0.60_3306": ["[any] -> outbound|3306||db.default.svc.cluster.local"] });
});

test("a port without a declared protocol is told apart by its first bytes, with routes of its own", () => {
  const auto = [{ name: "web", number: 8000 }];
  const snapshot = mesh([service("web", "10.96.0.61", auto), ...workload("web", auto, { ip: "10.244.0.61" })]);
  assert.deepEqual(listenersOf(snapshot), {
    "10.96.0.61_8000": [
      "[raw_buffer http/1.0,http/1.1,h2c] -> route web.default.svc.cluster.local:8000",
      "else [any] -> outbound|8000||web.default.svc.cluster.local",
    ],
  });
  const routes = compileRoutes(snapshot, client).get("web.default.svc.cluster.local:8000");
  assert.deepEqual(routes?.virtualHosts[0]?.domains, ["*"]);
  assert.equal(whereGoes(routes, { host: "anything" }), "outbound|8000||web.default.svc.cluster.local");
});

test("a headless TCP service is listened for on every pod but the proxy's own", () => {
  const tcp = [{ name: "tcp", number: 5000 }];
  const snapshot = mesh([
    service("store", "None", tcp),
    ...workload("store", tcp, { ip: "10.244.0.71" }),
    ...workload("store", tcp, { ip: "10.244.0.72" }),
    ...workload("store", tcp, { ip: "10.244.0.11" }),
  ]);
  assert.deepEqual(listenersOf(snapshot), {
    "10.244.0.71_5000": ["[any] -> outbound|5000||store.default.svc.cluster.local"],
    "10.244.0.72_5000": ["[any] -> outbound|5000||store.default.svc.cluster.local"],
  });
});

test("REGISTRY_ONLY sends unknown connections to the black hole and answers unknown hosts with 502", () => {
  const snapshot = mesh(bookinfo, "", { outboundTrafficPolicy: { mode: "REGISTRY_ONLY" } });
  const compiled = compileProxy(snapshot, client);
  assert.deepEqual(
    describeListener(compiled.listeners.get("virtualOutbound")).at(-1),
    "virtualOutbound-catchall-tcp [any] -> BlackHoleCluster",
  );
  assert.deepEqual(
    describeListener(compiled.listeners.get("0.0.0.0_9080")).at(-1),
    "else PassthroughFilterChain [any] -> BlackHoleCluster",
  );
  assert.equal(whereGoes(compiled.routes.get("9080"), { host: "example.com" }), "answers 502");
  assert.equal(compiled.routes.get("9080")?.virtualHosts.at(-1)?.name, "block_all");
});

const entry = (name: string, spec: string): string => `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: ${name}, creationTimestamp: "2026-01-01T00:00:0${name.length}Z"}
spec: ${spec}
`;

test("TLS to external names on one port is told apart by server name", () => {
  const yaml = [
    entry("a", "{hosts: [a.example.com], ports: [{number: 443, name: tls, protocol: TLS}], resolution: DNS}"),
    entry("bb", "{hosts: [b.example.com], ports: [{number: 443, name: tls, protocol: TLS}], resolution: NONE}"),
  ].join("---");
  assert.deepEqual(listenersOf(mesh([], yaml)), {
    "0.0.0.0_443": [
      "[sni a.example.com] -> outbound|443||a.example.com",
      "[sni b.example.com] -> outbound|443||b.example.com",
      "else PassthroughFilterChain [any] -> PassthroughCluster",
    ],
  });
});

test("addresses of an entry get listeners, blocks a match on any address", () => {
  const yaml = entry(
    "a",
    "{hosts: [db.example.com], addresses: [240.0.0.1, 192.168.0.0/16], ports: [{number: 5432, name: tcp, protocol: TCP}], resolution: STATIC, endpoints: [{address: 192.168.0.7}]}",
  );
  assert.deepEqual(listenersOf(mesh([], yaml)), {
    "0.0.0.0_5432": [
      "[192.168.0.0/16] -> outbound|5432||db.example.com",
      "else PassthroughFilterChain [any] -> PassthroughCluster",
    ],
    "240.0.0.1_5432": ["[any] -> outbound|5432||db.example.com"],
  });
});

test("of two TCP services on any address the older one keeps the port", () => {
  const port = "ports: [{number: 7000, name: tcp, protocol: TCP}], resolution: NONE";
  const yaml = [
    entry("old", `{hosts: [old.example.com], ${port}}`),
    entry("newer", `{hosts: [new.example.com], ${port}}`),
  ];
  for (const order of [yaml, yaml.toReversed()]) {
    assert.deepEqual(listenersOf(mesh([], order.join("---"))), {
      "0.0.0.0_7000": ["[any] -> outbound|7000||old.example.com"],
    });
  }
});

test("HTTP and TCP on any address of one port share a listener", () => {
  const yaml = entry(
    "a",
    "{hosts: [raw.example.com], ports: [{number: 9080, name: tcp, protocol: TCP}], resolution: NONE}",
  );
  assert.deepEqual(listenersOf(mesh(bookinfo, yaml))["0.0.0.0_9080"], [
    "[raw_buffer http/1.0,http/1.1,h2c] -> route 9080",
    "else [any] -> outbound|9080||raw.example.com",
  ]);
});

test("tcp routes of a VirtualService divide connections by weight", () => {
  const tcp = [{ name: "tcp", number: 9000 }];
  const yaml = `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: echo}
spec:
  hosts: [echo]
  tcp:
  - match: [{port: 9000}]
    route:
    - {destination: {host: echo, subset: v1}, weight: 80}
    - {destination: {host: echo, subset: v2}, weight: 20}
`;
  const snapshot = mesh([service("echo", "10.96.0.80", tcp), ...workload("echo", tcp, { ip: "10.244.0.80" })], yaml);
  const host = "echo.default.svc.cluster.local";
  assert.deepEqual(listenersOf(snapshot)["10.96.0.80_9000"], [
    `[any] -> 80:outbound|9000|v1|${host} 20:outbound|9000|v2|${host}`,
  ]);
});

test("a Sidecar narrows listeners, clusters and routes to the hosts that it names", () => {
  const yaml = `
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default}
spec:
  egress:
  - hosts: ["./details.default.svc.cluster.local"]
  outboundTrafficPolicy: {mode: REGISTRY_ONLY}
`;
  const compiled = compileProxy(mesh(bookinfo, yaml), client);
  assert.deepEqual([...compiled.listeners.keys()], ["0.0.0.0_9080", "virtualOutbound", "virtualInbound"]);
  assert.deepEqual(
    [...compiled.clusters.keys()].filter((name) => name.startsWith("outbound")),
    ["outbound|9080||details.default.svc.cluster.local"],
  );
  assert.equal(whereGoes(compiled.routes.get("9080"), { host: "reviews" }), "answers 502");
  const blocked = compiled.routes.get("9080")?.virtualHosts.at(-1);
  assert.equal(decodeProvenance(blocked?.metadata?.filterMetadata).origins[0]?.kind, "Sidecar");
});

test("a port that a Sidecar names is its own listener", () => {
  const yaml = `
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default}
spec:
  egress:
  - port: {number: 9080, protocol: HTTP, name: http}
    hosts: ["./reviews.default.svc.cluster.local"]
  - hosts: ["istio-system/*"]
`;
  const { listeners, routes } = compileProxy(mesh(bookinfo, yaml), client);
  assert.deepEqual([...listeners.keys()].slice(0, 2), ["0.0.0.0_80", "0.0.0.0_9080"]);
  assert.equal(whereGoes(routes.get("9080"), { host: "reviews" }), "outbound|9080||reviews.default.svc.cluster.local");
  assert.equal(whereGoes(routes.get("9080"), { host: "details" }), "PassthroughCluster");
});

test("outbound TCP is counted, to services and to what the mesh does not know", () => {
  const tcp = [{ name: "tcp", number: 9000 }];
  const listeners = compileListeners(mesh([...bookinfo, service("echo", "10.96.0.80", tcp)]), client);
  const counted = ["istio.stats", "envoy.filters.network.tcp_proxy"];
  const chains = [...listeners].flatMap(([name, listener]) =>
    name.endsWith("_9000") || name === "virtualOutbound" ? listener.filterChains : [],
  );
  assert.equal(chains.length, 3);
  for (const chain of chains) assert.deepEqual(filterNames(chain), counted);
  assert.deepEqual(filterNames(listeners.get("0.0.0.0_9080")?.defaultFilterChain), counted);
});

test("outbound HTTP filters stand in Istio's order", () => {
  const listener = compileListeners(mesh(bookinfo), client).get("0.0.0.0_9080");
  assert.deepEqual(filterNames(listener?.filterChains[0]), [
    "istio.metadata_exchange",
    "envoy.filters.http.grpc_stats",
    "istio.alpn",
    "envoy.filters.http.fault",
    "envoy.filters.http.cors",
    "istio.stats",
    "envoy.filters.http.router",
  ]);
  assert.equal(listener?.bindToPort, false);
  assert.deepEqual(
    listener?.listenerFilters.map(({ name }) => name),
    ["envoy.filters.listener.tls_inspector", "envoy.filters.listener.http_inspector"],
  );
});

const egress = (listeners: string, more = ""): string => `
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default}
spec:
  egress: [${listeners}]
${more}`;

test("what the mesh does not know goes to the egress proxy of the Sidecar, whether a listener imports it or not", () => {
  const yaml = egress(
    '{hosts: ["./details.default.svc.cluster.local"]}',
    `  outboundTrafficPolicy:
    mode: ALLOW_ANY
    egressProxy: {host: ratings.default.svc.cluster.local, port: {number: 9080}}`,
  );
  const { listeners, routes, clusters } = compileProxy(mesh(bookinfo, yaml), client);
  const cluster = "outbound|9080||ratings.default.svc.cluster.local";
  assert.ok(clusters.has(cluster));
  assert.equal(
    describeListener(listeners.get("virtualOutbound")).at(-1),
    `virtualOutbound-catchall-tcp [any] -> ${cluster}`,
  );
  assert.equal(
    describeListener(listeners.get("0.0.0.0_9080")).at(-1),
    `else PassthroughFilterChain [any] -> ${cluster}`,
  );
  assert.equal(whereGoes(routes.get("9080"), { host: "elsewhere.example" }), cluster);
  assert.equal(whereGoes(routes.get("9080"), { host: "ratings" }), cluster);
});

test("an egress proxy that is no service is said to be missing", () => {
  const yaml = egress(
    '{hosts: ["*/*"]}',
    "  outboundTrafficPolicy: {mode: ALLOW_ANY, egressProxy: {host: nobody.example, port: {number: 80}}}",
  );
  const issue = mesh(bookinfo, yaml).issues.find(({ code }) => code === "IST0101");
  assert.match(issue?.message ?? "", /there is no service nobody\.example/);
});

test("an egress listener on a Unix socket chooses by Host, and takes port 80 where none is written", () => {
  const web = service("web", "10.96.0.70", [
    { name: "http", number: 80 },
    { name: "http-alt", number: 8080 },
  ]);
  const yaml = egress(`
    {bind: "unix:///run/mesh.sock", port: {number: 0, protocol: HTTP, name: socket}, hosts: ["./web.default.svc.cluster.local"]},
    {hosts: ["istio-system/*"]}`);
  const compiled = compileProxy(mesh([...bookinfo, web], yaml), client);
  const listener = compiled.listeners.get("unix:///run/mesh.sock_0");
  assert.deepEqual(listener?.address?.address.case === "pipe" && listener.address.address.value.path, "/run/mesh.sock");
  assert.equal(listener?.bindToPort, true);
  const routes = compiled.routes.get("unix:///run/mesh.sock");
  assert.equal(whereGoes(routes, { host: "web" }), "outbound|80||web.default.svc.cluster.local");
  assert.equal(whereGoes(routes, { host: "web.default:80" }), "outbound|80||web.default.svc.cluster.local");
  assert.equal(whereGoes(routes, { host: "web:8080" }), "outbound|8080||web.default.svc.cluster.local");
  assert.equal(whereGoes(routes, { host: "reviews" }), "PassthroughCluster");
  assert.deepEqual(refusals(compiled), []);
});

test("TCP on a Unix socket goes to the service that the listener names", () => {
  const yaml = egress(
    '{bind: "unix:///run/db.sock", port: {number: 0, protocol: TCP, name: db}, hosts: ["./ratings.default.svc.cluster.local"]}',
  );
  const { listeners } = compileProxy(mesh(bookinfo, yaml), client);
  assert.deepEqual(describeListener(listeners.get("unix:///run/db.sock_0")), [
    "[any] -> outbound|9080||ratings.default.svc.cluster.local",
  ]);
});

const binds: readonly [listener: string, expected: string][] = [
  ["captureMode: NONE", "127.0.0.1_9080 true"],
  ["captureMode: NONE, bind: 127.0.0.2", "127.0.0.2_9080 true"],
  ["captureMode: IPTABLES, bind: 240.1.1.1", "240.1.1.1_9080 false"],
  ["captureMode: DEFAULT", "0.0.0.0_9080 false"],
];
for (const [settings, expected] of binds) {
  test(`an egress listener with ${settings} is ${expected.split(" ").join(", bound: ")}`, () => {
    const yaml = egress(`{port: {number: 9080, protocol: HTTP, name: http}, ${settings}, hosts: ["./*"]}`);
    const [listener] = compileListeners(mesh(bookinfo, yaml), client).values();
    assert.equal(`${listener?.name} ${listener?.bindToPort}`, expected);
  });
}

test("the protocol of an egress listener counts, not the service's", () => {
  const yaml = egress(
    '{port: {number: 9080, protocol: TCP, name: raw}, hosts: ["./reviews.default.svc.cluster.local"]}',
  );
  const listeners = listenersOf(mesh(bookinfo, yaml));
  assert.deepEqual(listeners, { "10.96.0.13_9080": ["[any] -> outbound|9080||reviews.default.svc.cluster.local"] });
});

test("proxyHttpPort is an HTTP proxy on localhost for every port", () => {
  const compiled = compileProxy(mesh(bookinfo, "", { proxyHttpPort: 15_002 }), client);
  assert.deepEqual(describeListener(compiled.listeners.get("127.0.0.1_15002")), ["[any] -> route http_proxy"]);
  const routes = compiled.routes.get("http_proxy");
  assert.equal(whereGoes(routes, { host: "reviews:9080" }), "outbound|9080||reviews.default.svc.cluster.local");
  assert.equal(
    whereGoes(routes, { host: "istio-ingressgateway.istio-system" }),
    "outbound|80||istio-ingressgateway.istio-system.svc.cluster.local",
  );
  assert.deepEqual(refusals(compiled), []);
});
