import assert from "node:assert/strict";
import { test } from "node:test";
import { parseMeshConfig } from "../kinds/mesh-config/decode.ts";
import type { BuiltSnapshot } from "./build.ts";
import type { Service } from "./service.ts";
import { meshFromYaml, proxy } from "./testing/mesh-from-yaml.ts";

const bookinfo = `
apiVersion: v1
kind: Node
metadata: { name: node-a, namespace: "", labels: { topology.kubernetes.io/region: eu, topology.kubernetes.io/zone: eu-1 } }
---
apiVersion: v1
kind: Service
metadata: { name: reviews }
spec:
  clusterIP: 10.96.0.7
  selector: { app: reviews }
  ports: [{ name: http, port: 9080, targetPort: web }]
---
apiVersion: v1
kind: Pod
metadata:
  name: reviews-v1-abc-1
  labels: { app: reviews, version: v1, pod-template-hash: abc, security.istio.io/tlsMode: istio }
  ownerReferences: [{ apiVersion: apps/v1, kind: ReplicaSet, name: reviews-v1-abc, uid: u, controller: true }]
spec:
  nodeName: node-a
  serviceAccountName: bookinfo-reviews
  containers: [{ name: reviews, ports: [{ name: web, containerPort: 9081 }] }]
status: { podIP: 10.244.0.5, conditions: [{ type: Ready, status: "True" }] }
---
apiVersion: v1
kind: Pod
metadata: { name: reviews-v2-1, labels: { app: reviews, version: v2 } }
spec:
  serviceAccountName: bookinfo-reviews
  containers: [{ name: reviews, ports: [{ name: web, containerPort: 9081 }] }]
status: { podIP: 10.244.0.6 }
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: reviews-x, labels: { kubernetes.io/service-name: reviews } }
addressType: IPv4
ports: [{ name: http, port: 9081 }]
endpoints:
- { addresses: [10.244.0.5], targetRef: { kind: Pod, name: reviews-v1-abc-1, namespace: default } }
- { addresses: [10.244.0.6], conditions: { ready: false }, targetRef: { kind: Pod, name: reviews-v2-1, namespace: default } }
- { addresses: [10.244.0.7], conditions: { ready: false, serving: true, terminating: true } }
`;

function service(snapshot: BuiltSnapshot, hostname: string): Service {
  const found = snapshot.services.find((item) => item.hostname === hostname);
  assert.ok(found, hostname);
  return found;
}

test("endpoints carry the workload of their pod, its health and its locality", () => {
  const snapshot = meshFromYaml(bookinfo);
  const reviews = service(snapshot, "reviews.default.svc.cluster.local");
  const [first, second, third] = snapshot.endpoints(reviews, 9080);
  assert.equal(first?.port, 9081);
  assert.equal(first?.health, "healthy");
  assert.deepEqual(first?.workload, {
    name: "reviews-v1",
    namespace: "default",
    labels: { app: "reviews", version: "v1", "pod-template-hash": "abc", "security.istio.io/tlsMode": "istio" },
    serviceAccount: "bookinfo-reviews",
    identity: "spiffe://cluster.local/ns/default/sa/bookinfo-reviews",
    clusterId: "Kubernetes",
    canonicalName: "reviews",
    canonicalRevision: "v1",
    locality: { region: "eu", zone: "eu-1", subzone: "" },
    tlsMode: "istio",
    nodeName: "node-a",
    hostname: "",
  });
  assert.equal(second?.health, "unhealthy");
  assert.equal(second?.workload.tlsMode, "disabled");
  assert.equal(third?.health, "draining");
  assert.deepEqual(
    snapshot.endpoints(reviews, 9080, { version: "v2" }).map((endpoint) => endpoint.address),
    ["10.244.0.6"],
  );
  assert.deepEqual(snapshot.serviceAccountsOf(reviews), ["spiffe://cluster.local/ns/default/sa/bookinfo-reviews"]);
  assert.deepEqual(snapshot.endpoints(reviews, 1), []);
});

test("a workload serves the services that select its pod, on the container's port", () => {
  const snapshot = meshFromYaml(bookinfo);
  const instances = snapshot.serviceInstances(proxy({ name: "reviews-v2-1", ip: "10.244.0.6" }));
  assert.deepEqual(
    instances.map((item) => [item.service.hostname, item.port.number, item.targetPort]),
    [["reviews.default.svc.cluster.local", 9080, 9081]],
  );
});

test("clients do not use mutual TLS on a port where the workload's policy switches it off", () => {
  const snapshot = meshFromYaml(`${bookinfo}---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: { name: "off" }
spec: { selector: { matchLabels: { app: reviews } }, mtls: { mode: STRICT }, portLevelMtls: { "9081": { mode: DISABLE } } }
`);
  const reviews = service(snapshot, "reviews.default.svc.cluster.local");
  assert.equal(snapshot.endpoints(reviews, 9080)[0]?.workload.tlsMode, "disabled");
  const server = proxy({ labels: { app: "reviews" } });
  assert.equal(snapshot.inboundMtlsMode(server, 9081).mode, "DISABLE");
  assert.equal(snapshot.inboundMtlsMode(server, 9082).mode, "STRICT");
  assert.equal(snapshot.inboundMtlsMode(server).policy?.name, "off");
  assert.deepEqual([...snapshot.inboundMtlsPorts(server).keys()], [9081]);
});

test("a ServiceEntry resolved by DNS without endpoints resolves its own host", () => {
  const snapshot = meshFromYaml(`
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: api }
spec:
  hosts: [api.example.com]
  resolution: DNS
  ports: [{ number: 443, name: tls, protocol: TLS, targetPort: 8443 }]
`);
  const api = service(snapshot, "api.example.com");
  assert.equal(api.resolution, "dns-lb");
  assert.equal(api.meshExternal, true);
  const [endpoint] = snapshot.endpoints(api, 443);
  assert.deepEqual([endpoint?.address, endpoint?.port], ["api.example.com", 8443]);
});

test("a ServiceEntry with static endpoints takes ports by name, weights and identities", () => {
  const snapshot = meshFromYaml(`
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: vm, namespace: legacy }
spec:
  hosts: [vm.internal]
  location: MESH_INTERNAL
  resolution: STATIC
  subjectAltNames: ["spiffe://cluster.local/ns/legacy/sa/other"]
  ports: [{ number: 80, name: http, protocol: HTTP }]
  endpoints:
  - { address: 10.0.0.1, ports: { http: 8080 }, weight: 3, serviceAccount: vm, locality: eu/eu-1/rack }
  - { address: 10.0.0.2 }
`);
  const vm = service(snapshot, "vm.internal");
  const endpoints = snapshot.endpoints(vm, 80);
  assert.deepEqual(
    endpoints.map((endpoint) => [endpoint.address, endpoint.port, endpoint.weight]),
    [
      ["10.0.0.1", 8080, 3],
      ["10.0.0.2", 80, 1],
    ],
  );
  assert.equal(endpoints[0]?.workload.locality.subzone, "rack");
  assert.deepEqual(snapshot.serviceAccountsOf(vm), [
    "spiffe://cluster.local/ns/legacy/sa/other",
    "spiffe://cluster.local/ns/legacy/sa/vm",
  ]);
});

test("a service selects workload entries beside pods, and a ServiceEntry selects pods", () => {
  const snapshot = meshFromYaml(`${bookinfo}---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: { name: old-reviews }
spec: { address: 192.168.0.9, labels: { app: reviews } }
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: alias }
spec:
  hosts: [reviews.internal]
  location: MESH_INTERNAL
  resolution: STATIC
  workloadSelector: { labels: { app: reviews, version: v1 } }
  ports: [{ number: 80, name: http, protocol: HTTP, targetPort: 9081 }]
`);
  const reviews = service(snapshot, "reviews.default.svc.cluster.local");
  assert.ok(snapshot.endpoints(reviews, 9080).some((endpoint) => endpoint.address === "192.168.0.9"));
  const alias = service(snapshot, "reviews.internal");
  assert.deepEqual(
    snapshot.endpoints(alias, 80).map((endpoint) => [endpoint.address, endpoint.port]),
    [["10.244.0.5", 9081]],
  );
});

test("a ServiceEntry for a Kubernetes Service's host adds its names and is no second service", () => {
  const snapshot = meshFromYaml(`${bookinfo}---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: more }
spec:
  hosts: [reviews.default.svc.cluster.local]
  subjectAltNames: ["spiffe://other/ns/a/sa/b"]
  resolution: STATIC
  ports: [{ number: 9080, name: http, protocol: HTTP }]
`);
  assert.equal(snapshot.services.filter((item) => item.hostname.startsWith("reviews")).length, 1);
  const reviews = service(snapshot, "reviews.default.svc.cluster.local");
  assert.deepEqual(reviews.subjectAltNames, ["spiffe://other/ns/a/sa/b"]);
});

test("exportTo decides from where a service is seen", () => {
  const hidden = (exportTo: string): string => `
apiVersion: v1
kind: Service
metadata: { name: db, namespace: data, annotations: { networking.istio.io/exportTo: "${exportTo}" } }
spec: { ports: [{ name: tcp, port: 5432 }] }
`;
  const sees = (exportTo: string, namespace: string): boolean =>
    meshFromYaml(hidden(exportTo)).scope(proxy({ namespace })).services.length > 0;
  assert.equal(sees("*", "web"), true);
  assert.equal(sees(".", "web"), false);
  assert.equal(sees(".", "data"), true);
  assert.equal(sees("~", "data"), false);
  assert.equal(sees("web, batch", "web"), true);
  assert.equal(sees("web, batch", "data"), false);
});

const shop = ["front", "cart", "stock"]
  .map(
    (name) => `
apiVersion: v1
kind: Service
metadata: { name: ${name}, namespace: ${name === "stock" ? "warehouse" : "shop"} }
spec: { ports: [{ name: http, port: 80 }, { name: grpc, port: 90 }] }
---`,
  )
  .join("");

test("a Sidecar limits what its workloads see, and routes bring their destinations along", () => {
  const snapshot = meshFromYaml(`${shop}
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: cart, namespace: shop }
spec: { hosts: [cart], http: [{ route: [{ destination: { host: stock.warehouse.svc.cluster.local } }] }] }
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: { name: default, namespace: shop }
spec: { egress: [{ hosts: ["./cart.shop.svc.cluster.local"] }], outboundTrafficPolicy: { mode: REGISTRY_ONLY } }
`);
  const scope = snapshot.scope(proxy({ namespace: "shop" }));
  assert.deepEqual(
    scope.services.map((item) => item.name),
    ["cart", "stock"],
  );
  assert.deepEqual(
    scope.virtualServices.map((item) => item.name),
    ["cart"],
  );
  assert.equal(scope.outboundTrafficPolicy, "REGISTRY_ONLY");
  assert.equal(snapshot.scope(proxy({ namespace: "elsewhere" })).services.length, 3);
});

test("an egress listener with a port serves that port of the services it imports", () => {
  const snapshot = meshFromYaml(`${shop}
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: { name: default, namespace: shop }
spec:
  egress:
  - { port: { number: 90, protocol: GRPC, name: grpc }, hosts: ["warehouse/*"] }
  - { hosts: ["~warehouse/*", "*/*", "~/front.shop.svc.cluster.local"] }
`);
  const { egressListeners, services } = snapshot.scope(proxy({ namespace: "shop" }));
  assert.deepEqual(
    egressListeners.map((listener) => listener.services.map((item) => [item.name, item.ports.length])),
    [[["stock", 1]], [["cart", 2]]],
  );
  assert.deepEqual(services.map((item) => item.name).sort(), ["cart", "stock"]);
});

test("a gateway listens on the ports behind its Service and keeps HTTP servers of one port together", () => {
  const gateway = (name: string, port: string, hosts: string): string => `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: ${name}, namespace: shop }
spec: { selector: { istio: ingressgateway }, servers: [{ port: ${port}, hosts: ${hosts} }] }
---`;
  const snapshot = meshFromYaml(`${shop}
apiVersion: v1
kind: Service
metadata: { name: istio-ingressgateway, namespace: istio-system }
spec: { selector: { istio: ingressgateway }, ports: [{ name: http2, port: 80, targetPort: 8080 }] }
---${gateway("a", "{ number: 80, name: http, protocol: HTTP }", '["a.example.com", "elsewhere/b.example.com"]')}${gateway("b", "{ number: 80, name: http, protocol: HTTP }", '["*.b.example.com"]')}
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: shop, namespace: shop }
spec:
  hosts: ["a.example.com", "b.example.com", "x.b.example.com"]
  gateways: [a, shop/b]
  http: [{ route: [{ destination: { host: front, port: { number: 80 } } }] }]
`);
  const ingress = proxy({ type: "router", namespace: "istio-system", labels: { istio: "ingressgateway" } });
  const [listener, ...others] = snapshot.gateways(ingress).listeners;
  assert.equal(others.length, 0);
  assert.equal(listener?.port, 8080);
  assert.deepEqual(
    listener?.servers.map((server) => [
      server.routeName,
      server.virtualServices.map((bound) => [bound.gateway, bound.hosts]),
    ]),
    [
      ["http.8080", [["shop/a", ["a.example.com"]]]],
      ["http.8080", [["shop/b", ["x.b.example.com"]]]],
    ],
  );
});

test("a client finds its DestinationRule in its own namespace, then the service's, then the root namespace", () => {
  const rule = (namespace: string, subset: string): string => `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: rule, namespace: ${namespace} }
spec: { host: front.shop.svc.cluster.local, subsets: [{ name: ${subset} }] }
---`;
  const chosen = (yaml: string): string | undefined => {
    const scope = meshFromYaml(shop + yaml).scope(proxy({ namespace: "client" }));
    const front = scope.service("front.shop.svc.cluster.local");
    assert.ok(front);
    return scope.destinationRule(front)?.subsets[0]?.name;
  };
  const [own, servers, root] = [rule("client", "own"), rule("shop", "servers"), rule("istio-system", "root")];
  assert.equal(chosen(own + servers + root), "own");
  assert.equal(chosen(servers + root), "servers");
  assert.equal(chosen(root), "root");
  assert.equal(chosen(rule("third", "third")), undefined);
});

test("equal content has an equal version in any order, and only what changed is listed", () => {
  const [front = "", cart = ""] = shop.split("---");
  const one = meshFromYaml(`${front}---${cart}`);
  const other = meshFromYaml(`${cart}---${front}`.replace("metadata", "metadata"));
  assert.notEqual(one.version, other.version, "lines differ, and provenance with them");
  const objects = [...one.entries.values()].map((entry) => entry.source);
  const again = meshFromYaml(`${front}---${cart}`, {}, one);
  assert.equal(again.version, one.version);
  assert.deepEqual(again.changes, []);
  assert.equal(objects.length, 2);
  const less = meshFromYaml(front, {}, one);
  assert.deepEqual(less.changes, [{ kind: "Service", namespace: "shop", name: "cart", change: "removed" }]);
});

test("discovery selectors leave out namespaces whose labels they do not pick", () => {
  const { meshConfig, issues } = parseMeshConfig(
    'discoverySelectors: [{ matchExpressions: [{ key: mesh, operator: In, values: ["yes"] }] }]',
  );
  assert.deepEqual(issues, []);
  const namespace = (name: string, labels: string): string => `
apiVersion: v1
kind: Namespace
metadata: { name: ${name}, namespace: "", labels: ${labels} }
---`;
  const yaml = shop + namespace("shop", '{ mesh: "yes" }') + namespace("warehouse", "{}");
  const names = meshFromYaml(yaml.replace(/---$/, ""), { meshConfig }).services.map((item) => item.name);
  assert.deepEqual(names, ["cart", "front"]);
});

test("a Service of type ExternalName is a name outside the mesh to resolve", () => {
  const snapshot = meshFromYaml(`
apiVersion: v1
kind: Service
metadata: { name: api }
spec: { type: ExternalName, externalName: api.example.com, ports: [{ name: http, port: 80 }] }
`);
  const api = service(snapshot, "api.default.svc.cluster.local");
  assert.deepEqual([api.resolution, api.meshExternal, api.addresses], ["dns-lb", true, []]);
  assert.equal(snapshot.endpoints(api, 80)[0]?.address, "api.example.com");
});

test("the mesh says how far ServiceEntries are seen at most", () => {
  const entry = (namespace: string, exportTo: string): string => `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: entry, namespace: ${namespace} }
spec:
  hosts: [${namespace}.example]
  exportTo: ${exportTo}
  ports: [{ number: 80, name: http, protocol: HTTP }]
  resolution: DNS
---`;
  const yaml = `${entry("a", "[]")}${entry("b", '["*"]')}${entry("c", "[a, d]")}${entry("d", '["."]')}${entry("e", "[]")}
apiVersion: v1
kind: Namespace
metadata: { name: e, namespace: "", labels: { trusted: "no" } }
`;
  const seen = (visibility: string): Record<string, string[]> => {
    const { meshConfig, issues } = parseMeshConfig(`serviceEntryVisibility: ${visibility}`);
    assert.deepEqual(
      issues.map(({ path }) => path),
      visibility.includes("applyToSidecars") ? [] : ["serviceEntryVisibility"],
    );
    const snapshot = meshFromYaml(yaml, { meshConfig });
    return Object.fromEntries(
      ["a", "b"].map((namespace) => [
        namespace,
        snapshot
          .scope(proxy({ namespace }))
          .services.map(({ hostname }) => hostname.slice(0, 1))
          .sort(),
      ]),
    );
  };
  assert.deepEqual(seen("{defaultVisibility: NONE}"), { a: ["a", "b", "c", "e"], b: ["a", "b", "e"] });
  assert.deepEqual(seen("{applyToSidecars: true}"), { a: ["a", "b", "c", "e"], b: ["a", "b", "e"] });
  assert.deepEqual(seen("{applyToSidecars: true, defaultVisibility: NAMESPACE}"), { a: ["a"], b: ["b"] });
  const policies = `[
    {visibility: PUBLIC, matchingRules: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: b}}}]},
    {visibility: NONE, matchingRules: [{}]},
    {visibility: NONE, matchingRules: [{namespaceSelector: {matchLabels: {trusted: "no"}}}]},
    {visibility: NAMESPACE}
  ]`;
  assert.deepEqual(seen(`{applyToSidecars: true, policies: ${policies}}`), { a: ["a", "b"], b: ["b"] });
});
