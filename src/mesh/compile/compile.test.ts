import assert from "node:assert/strict";
import { test } from "node:test";
import { type DescMessage, type Message, toBinary, toJsonString } from "@bufbuild/protobuf";
import { ClusterSchema } from "#wire/gen/envoy/config/cluster/v3/cluster_pb.ts";
import { ClusterLoadAssignmentSchema } from "#wire/gen/envoy/config/endpoint/v3/endpoint_pb.ts";
import { ListenerSchema } from "#wire/gen/envoy/config/listener/v3/listener_pb.ts";
import { RouteConfigurationSchema } from "#wire/gen/envoy/config/route/v3/route_pb.ts";
import { type CompiledResources, compileEndpoints, compileProxy } from "./compile.ts";
import { refusals } from "./testing/accepted.ts";
import { bookinfo, ingressGateway, mesh, service, sidecarOf, workload } from "./testing/mesh.ts";
import { describeCluster, describeListener, whereGoes } from "./testing/summary.ts";

const routing = `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: bookinfo-gateway}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 80, name: http, protocol: HTTP}
    hosts: ["*"]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: bookinfo}
spec:
  hosts: ["*"]
  gateways: [bookinfo-gateway]
  http:
  - match:
    - uri: {exact: /productpage}
    - uri: {prefix: /static}
    route:
    - destination: {host: productpage, port: {number: 9080}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews}
spec:
  host: reviews
  subsets:
  - {name: v1, labels: {version: v1}}
  - {name: v2, labels: {version: v2}}
  - {name: v3, labels: {version: v3}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http:
  - match:
    - headers: {end-user: {exact: jason}}
    route:
    - destination: {host: reviews, subset: v2}
  - route:
    - {destination: {host: reviews, subset: v1}, weight: 90}
    - {destination: {host: reviews, subset: v3}, weight: 10}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default}
spec: {mtls: {mode: STRICT}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: reviews}
spec:
  selector: {matchLabels: {app: reviews}}
  rules:
  - from: [{source: {principals: [cluster.local/ns/default/sa/bookinfo-productpage]}}]
    to: [{operation: {methods: [GET]}}]
`;

test("the sidecar of productpage gets Bookinfo's listeners, clusters and routes under Istio's names", () => {
  const compiled = compileProxy(mesh(bookinfo, routing), sidecarOf("productpage", "10.244.0.11"));
  assert.deepEqual([...compiled.listeners.keys()], ["0.0.0.0_80", "0.0.0.0_9080", "virtualOutbound", "virtualInbound"]);
  assert.deepEqual([...compiled.routes.keys()], ["80", "9080"]);
  assert.deepEqual(
    [...compiled.clusters.values()].map((cluster) => `${cluster.name} ${describeCluster(cluster)}`).sort(),
    [
      "BlackHoleCluster STATIC plaintext",
      "InboundPassthroughCluster ORIGINAL_DST plaintext",
      "PassthroughCluster ORIGINAL_DST plaintext",
      "inbound|9080|| ORIGINAL_DST plaintext",
      "outbound|80||istio-ingressgateway.istio-system.svc.cluster.local EDS tlsMode-istio,tlsMode-disabled",
      "outbound|9080|v1|reviews.default.svc.cluster.local EDS tlsMode-istio,tlsMode-disabled",
      "outbound|9080|v2|reviews.default.svc.cluster.local EDS tlsMode-istio,tlsMode-disabled",
      "outbound|9080|v3|reviews.default.svc.cluster.local EDS tlsMode-istio,tlsMode-disabled",
      "outbound|9080||details.default.svc.cluster.local EDS tlsMode-istio,tlsMode-disabled",
      "outbound|9080||productpage.default.svc.cluster.local EDS tlsMode-istio,tlsMode-disabled",
      "outbound|9080||ratings.default.svc.cluster.local EDS tlsMode-istio,tlsMode-disabled",
      "outbound|9080||reviews.default.svc.cluster.local EDS tlsMode-istio,tlsMode-disabled",
    ],
  );
  assert.deepEqual(describeListener(compiled.listeners.get("0.0.0.0_9080")), [
    "[raw_buffer http/1.0,http/1.1,h2c] -> route 9080",
    "else PassthroughFilterChain [any] -> PassthroughCluster",
  ]);
  assert.deepEqual(describeListener(compiled.listeners.get("virtualOutbound")), [
    "virtualOutbound-blackhole [:15001] -> BlackHoleCluster",
    "virtualOutbound-catchall-tcp [any] -> PassthroughCluster",
  ]);
});

test("requests from productpage go where VirtualServices send them", () => {
  const { routes } = compileProxy(mesh(bookinfo, routing), sidecarOf("productpage", "10.244.0.11"));
  const go = (host: string, headers = {}): string => whereGoes(routes.get("9080"), { host, path: "/", headers });
  const reviews = "reviews.default.svc.cluster.local";
  assert.equal(go("details:9080"), "outbound|9080||details.default.svc.cluster.local");
  assert.equal(go("reviews"), `90:outbound|9080|v1|${reviews} 10:outbound|9080|v3|${reviews}`);
  assert.equal(go("reviews.default:9080", { "end-user": "jason" }), `outbound|9080|v2|${reviews}`);
  assert.equal(go("10.96.0.14"), "outbound|9080||ratings.default.svc.cluster.local");
  assert.equal(go("example.com"), "PassthroughCluster");
});

test("the sidecar of reviews takes only mutual TLS when the namespace is STRICT", () => {
  const { listeners } = compileProxy(mesh(bookinfo, routing), sidecarOf("reviews", "10.244.0.13"));
  assert.deepEqual(describeListener(listeners.get("virtualInbound")), [
    "virtualInbound-blackhole [:15006] -> BlackHoleCluster",
    "virtualInbound-catchall-http [tls istio-http/1.0,istio-http/1.1,istio-h2] ends TLS -> inline route InboundPassthroughCluster",
    "virtualInbound [tls] ends TLS -> InboundPassthroughCluster",
    "0.0.0.0_9080 [:9080 tls] ends TLS -> inline route inbound|9080||",
  ]);
});

test("the gateway serves the paths that the bound VirtualService names, and nothing else", () => {
  const { listeners, routes, clusters } = compileProxy(mesh(bookinfo, routing), ingressGateway());
  assert.deepEqual(describeListener(listeners.get("0.0.0.0_8080")), ["[any] -> route http.8080"]);
  const go = (path: string): string => whereGoes(routes.get("http.8080"), { host: "localhost:8080", path });
  assert.equal(go("/productpage"), "outbound|9080||productpage.default.svc.cluster.local");
  assert.equal(go("/static/a.css"), "outbound|9080||productpage.default.svc.cluster.local");
  assert.equal(go("/secret"), "no route");
  assert.equal(clusters.has("PassthroughCluster"), false);
  assert.equal(clusters.has("outbound|9080||productpage.default.svc.cluster.local"), true);
});

test("a gateway without VirtualServices answers 404 from a black hole", () => {
  const [gateway] = routing.split("---");
  const { routes } = compileProxy(mesh(bookinfo, gateway), ingressGateway());
  const [host] = routes.get("http.8080")?.virtualHosts ?? [];
  assert.equal(host?.name, "blackhole:80");
  assert.deepEqual(host?.routes, []);
});

test("compiling twice gives equal bytes, and every proxy kind passes Envoy's own constraints", () => {
  for (const proxy of [
    sidecarOf("productpage", "10.244.0.11"),
    sidecarOf("reviews", "10.244.0.13"),
    ingressGateway(),
  ]) {
    const first = encode(compileProxy(mesh(bookinfo, routing), proxy));
    const second = encode(compileProxy(mesh(bookinfo, routing), proxy));
    assert.deepEqual(first, second);
    assert.deepEqual(refusals(compileProxy(mesh(bookinfo, routing), proxy)), []);
  }
});

test("endpoints of a subset are the pods that carry its labels", () => {
  const snapshot = mesh(bookinfo, routing);
  const name = "outbound|9080|v2|reviews.default.svc.cluster.local";
  const endpoints = compileEndpoints(snapshot, sidecarOf("productpage", "10.244.0.11"), [name, "outbound|1||nobody"]);
  const [locality] = endpoints.get(name)?.endpoints ?? [];
  const [endpoint] = locality?.lbEndpoints ?? [];
  assert.equal(locality?.lbEndpoints.length, 1);
  assert.equal(
    toJsonString(ClusterLoadAssignmentSchema, endpoints.get(name) ?? assert.fail()).includes("10.244.0.23"),
    true,
  );
  assert.deepEqual(endpoint?.metadata?.filterMetadata["envoy.transport_socket_match"], { tlsMode: "istio" });
  assert.deepEqual(endpoints.get("outbound|1||nobody")?.endpoints, []);
});

test("a mesh of 100 services compiles for a proxy in a few milliseconds once the first proxy has been compiled", () => {
  const objects = Array.from({ length: 100 }, (_, index) => [
    service(`s${index}`, `10.96.1.${index}`, [{ name: "http", number: 8000 + (index % 10) }]),
    ...workload(`s${index}`, [{ name: "http", number: 8000 + (index % 10) }], { ip: `10.244.1.${index}` }),
  ]).flat();
  const snapshot = mesh([...bookinfo, ...objects], routing);
  compileProxy(snapshot, sidecarOf("productpage", "10.244.0.11"));
  const started = performance.now();
  compileProxy(snapshot, sidecarOf("reviews", "10.244.0.13"));
  // A generous bound for a busy machine; it catches work that is done once per service and proxy again.
  assert.ok(performance.now() - started < 250);
});

function encode(compiled: CompiledResources): string[] {
  const hex = (schema: DescMessage, resources: ReadonlyMap<string, Message>): string[] =>
    [...resources.values()].map((resource) => Buffer.from(toBinary(schema, resource)).toString("hex"));
  return [
    ...hex(ListenerSchema, compiled.listeners),
    ...hex(RouteConfigurationSchema, compiled.routes),
    ...hex(ClusterSchema, compiled.clusters),
    ...hex(ClusterLoadAssignmentSchema, compiled.endpoints),
  ];
}
