// Compares what a change reaches by the snapshot's account with what the compiler makes before and after it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { type DescMessage, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { ClusterSchema } from "#wire/gen/envoy/config/cluster/v3/cluster_pb.ts";
import { TrafficDirection } from "#wire/gen/envoy/config/core/v3/base_pb.ts";
import { ClusterLoadAssignmentSchema } from "#wire/gen/envoy/config/endpoint/v3/endpoint_pb.ts";
import { ListenerSchema } from "#wire/gen/envoy/config/listener/v3/listener_pb.ts";
import { RouteConfigurationSchema } from "#wire/gen/envoy/config/route/v3/route_pb.ts";
import { defaultMeshConfig } from "../kinds/mesh-config/decode.ts";
import { loadEnvoyTypes } from "../objects/envoy-types.ts";
import type { KubernetesObject } from "../objects/kubernetes-object.ts";
import { type BuiltSnapshot, buildSnapshot } from "../snapshot/build.ts";
import { decodableKinds } from "../snapshot/decodable-kinds.ts";
import type { ProxyNode } from "../snapshot/proxy-node.ts";
import { hasReach, reachOf } from "../snapshot/reach.ts";
import { compileProxy, compileStepOfServices } from "./compile.ts";
import { fromYaml, ingressGateway, service, sidecarOf, workload } from "./testing/mesh.ts";

await loadEnvoyTypes();

const web = [{ name: "http", number: 80, target: 8080 }];
const tcp = [{ name: "tcp-data", number: 6379 }];
const gatewayNameLabel = "gateway.networking.k8s.io/gateway-name";
const shop = { namespace: "shop" };
const quiet = { namespace: "quiet" };

const objects: KubernetesObject[] = [
  ...["default", "shop", "quiet"].map((name) => ({ apiVersion: "v1", kind: "Namespace", metadata: { name } })),
  service("front", "10.96.0.1", web),
  ...workload("front", web, { ip: "10.0.0.1" }),
  service("back", "10.96.0.2", web),
  ...workload("back", web, { ip: "10.0.0.2", version: "v1" }),
  ...workload("back", web, { ip: "10.0.0.3", version: "v2" }),
  service("web-istio", "10.96.0.9", [{ name: "http", number: 80 }]),
  service("cart", "10.96.1.1", web, shop),
  ...workload("cart", web, { ip: "10.0.1.1", ...shop }),
  service("stock", "10.96.1.2", tcp, shop),
  ...workload("stock", tcp, { ip: "10.0.1.2", ...shop }),
  service("alone", "10.96.2.1", web, quiet),
  ...workload("alone", web, { ip: "10.0.2.1", ...quiet }),
  ...fromYaml(`
apiVersion: v1
kind: Node
metadata: {name: node, labels: {topology.kubernetes.io/region: r1}}
---
apiVersion: v1
kind: Service
metadata: {name: outside}
spec: {clusterIP: 10.96.0.7, ports: [{name: http, port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: outside-1, labels: {kubernetes.io/service-name: outside}}
addressType: IPv4
ports: [{name: http, port: 80}]
endpoints: [{addresses: [10.7.0.1], nodeName: node}]
---
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {name: machines}
spec: {metadata: {labels: {app: machine}}, template: {serviceAccount: machine}}
---
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: logs, namespace: shop}
spec: {accessLogging: [{providers: [{name: envoy}]}]}
---
apiVersion: networking.istio.io/v1beta1
kind: ProxyConfig
metadata: {name: two, namespace: shop}
spec: {concurrency: 2}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default, namespace: quiet}
spec: {egress: [{hosts: ["./*"]}]}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: stock, namespace: shop}
spec:
  workloadSelector: {labels: {app: stock}}
  egress: [{hosts: ["shop/*", "default/back.default.svc.cluster.local"]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: back}
spec:
  hosts: [back]
  http: [{route: [{destination: {host: back, subset: v1}, weight: 50}, {destination: {host: cart.shop.svc.cluster.local}, weight: 50}]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: private, namespace: shop}
spec: {hosts: [cart], exportTo: ["."], http: [{timeout: 3s, route: [{destination: {host: cart}}]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: ingress}
spec: {hosts: ["*"], gateways: [ingress], http: [{route: [{destination: {host: front}}]}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: ingress}
spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: web}
spec:
  gatewayClassName: istio
  listeners: [{name: http, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}]
  allowedListeners: {namespaces: {from: All}}
---
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: istio}
spec: {controller: istio.io/ingress-controller}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: old}
spec:
  ingressClassName: istio
  rules: [{host: old.example, http: {paths: [{path: /old, pathType: Prefix, backend: {service: {name: front, port: {number: 80}}}}]}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: ListenerSet
metadata: {name: more, namespace: shop}
spec: {parentRef: {name: web, namespace: default}, listeners: [{name: more, port: 8081, protocol: HTTP}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: more, namespace: shop}
spec:
  parentRefs: [{kind: ListenerSet, name: more}]
  rules: [{backendRefs: [{name: cart, port: 80}]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web}
spec:
  parentRefs: [{name: web}]
  rules: [{matches: [{path: {value: /front}}], backendRefs: [{name: front, port: 80}]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: inside, namespace: quiet}
spec:
  parentRefs: [{group: "", kind: Service, name: alone, port: 80}]
  rules: [{backendRefs: [{name: alone, port: 80}], timeouts: {request: 3s}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: back}
spec: {host: back, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: wide, namespace: istio-system}
spec: {host: "*.local", trafficPolicy: {connectionPool: {tcp: {maxConnections: 10}}}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: external, namespace: shop}
spec: {hosts: [api.example.com], ports: [{number: 443, name: tls, protocol: TLS}], resolution: DNS}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: machines}
spec:
  hosts: [machines.example.com]
  location: MESH_INTERNAL
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: STATIC
  workloadSelector: {labels: {app: machine}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: listed}
spec:
  hosts: [listed.example.com]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: STATIC
  endpoints: [{address: 10.9.0.1}, {address: 10.9.0.2}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: distant}
spec:
  hosts: [distant.example.com]
  ports: [{number: 80, name: http, protocol: HTTP}]
  location: MESH_INTERNAL
  resolution: STATIC
  endpoints: [{address: 10.9.0.3, network: far, labels: {security.istio.io/tlsMode: istio}}]
---
apiVersion: v1
kind: Service
metadata: {name: east-west, namespace: istio-system, labels: {topology.istio.io/network: far}}
spec: {clusterIP: 10.96.3.1, externalIPs: [192.0.2.1], ports: [{name: tls, port: 15443}]}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: machine}
spec: {address: 10.0.3.1, labels: {app: machine}, serviceAccount: machine}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: shop}
spec: {mtls: {mode: DISABLE}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: quiet, namespace: quiet}
spec: {rules: [{to: [{operation: {methods: [GET]}}]}]}
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: front}
spec: {selector: {matchLabels: {app: front}}, jwtRules: [{issuer: me, jwks: '{"keys":[]}'}]}
---
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: lua, namespace: shop}
spec:
  configPatches:
  - applyTo: CLUSTER
    match: {context: SIDECAR_OUTBOUND}
    patch: {operation: MERGE, value: {connect_timeout: 7s}}
`),
];

const proxies: ProxyNode[] = [
  sidecarOf("front", "10.0.0.1"),
  sidecarOf("back", "10.0.0.2"),
  sidecarOf("back", "10.0.0.3", { network: "near" }),
  sidecarOf("cart", "10.0.1.1", shop),
  sidecarOf("stock", "10.0.1.2", shop),
  sidecarOf("alone", "10.0.2.1", quiet),
  // Not in a pod of the mesh, on no node that it knows.
  { ...sidecarOf("machine", "10.0.3.1"), nodeName: "" },
  ingressGateway(),
  { ...sidecarOf("web-istio", "10.0.4.1"), type: "router", labels: { app: "web-istio", [gatewayNameLabel]: "web" } },
];

interface Compiled {
  readonly clusters: string;
  readonly routing: string;
  readonly inbound: string;
  readonly endpoints: ReadonlyMap<string, string>;
}

function all<D extends DescMessage>(schema: D, messages: ReadonlyMap<string, MessageShape<D>>): [string, string][] {
  return [...messages].map(([name, message]) => [name, Buffer.from(toBinary(schema, message)).toString("base64")]);
}

/** Everything that a proxy gets, as bytes. */
function compiled(snapshot: BuiltSnapshot, proxy: ProxyNode): Compiled {
  const { clusters, listeners, routes, endpoints } = compileProxy(snapshot, proxy);
  return {
    clusters: JSON.stringify(all(ClusterSchema, clusters)),
    inbound: JSON.stringify(
      all(
        ListenerSchema,
        new Map([...listeners].filter(([, { trafficDirection }]) => trafficDirection === TrafficDirection.INBOUND)),
      ),
    ),
    routing: JSON.stringify([all(ListenerSchema, listeners), all(RouteConfigurationSchema, routes)]),
    endpoints: new Map(all(ClusterLoadAssignmentSchema, endpoints)),
  };
}

function build(some: readonly KubernetesObject[], previous?: BuiltSnapshot): BuiltSnapshot {
  return buildSnapshot(
    some.map((object) => ({ object })),
    {},
    previous,
  );
}

/** Fails when a proxy changes that the reach leaves out; says how many it reaches. */
function checkStep(before: readonly KubernetesObject[], after: readonly KubernetesObject[], what: string): number {
  const previous = build(before);
  const old = proxies.map((proxy) => compiled(previous, proxy));
  const next = build(after, previous);
  assert.equal(next.version, build(after).version, `${what}: version`);
  const reach = reachOf(previous, next);
  if (reach === "everything") return proxies.length;
  let reached = 0;
  for (const [index, proxy] of proxies.entries()) {
    if (reach.concerns(proxy)) {
      reached++;
      continue;
    }
    const now = compiled(next, proxy);
    if (reach.reclusters(proxy)) {
      reached++;
      checkServices(next, proxy, { old: old[index], now, hostnames: reach.services });
      continue;
    }
    // What took over parts of the previous snapshot is what a new one would be.
    assert.deepEqual(now, compiled(build(after), proxy), `${what}: ${proxy.id}, taken over`);
    assert.equal(now.clusters, old[index]?.clusters, `${what}: ${proxy.id} is not reached and its clusters differ`);
    // What a step of routes leaves as it is.
    if (proxy.type === "sidecar") assert.equal(now.inbound, old[index]?.inbound, `${what}: ${proxy.id}, inbound`);
    if (reach.reroutes(proxy)) reached++;
    else assert.equal(now.routing, old[index]?.routing, `${what}: ${proxy.id} is not reached and its routes differ`);
    for (const [name, bytes] of now.endpoints) {
      if (old[index]?.endpoints.get(name) === bytes) continue;
      assert.ok(reach.hostnames.has(name.slice(name.lastIndexOf("|") + 1)), `${what}: endpoints of ${name}`);
    }
  }
  return reached;
}

/** What a step of services is pushed as is what a whole compilation gives. */
function checkServices(
  next: BuiltSnapshot,
  proxy: ProxyNode,
  { old, now, hostnames }: { old: Compiled | undefined; now: Compiled; hostnames: ReadonlySet<string> },
): void {
  const step = compileStepOfServices(next, proxy, hostnames);
  if (step === undefined) return;
  const what = `${proxy.id}, ${[...hostnames].join()}`;
  assert.equal(now.inbound, old?.inbound, `${what}: inbound`);
  const isOther = ([name]: readonly [string, string]): boolean => !hostnames.has(name.slice(name.lastIndexOf("|") + 1));
  const clusters = (JSON.parse(old?.clusters ?? "[]") as [string, string][]).filter(isOther);
  clusters.push(...all(ClusterSchema, step.clusters));
  assert.deepEqual(Object.fromEntries(clusters), Object.fromEntries(JSON.parse(now.clusters)), `${what}: clusters`);
  const endpoints = all(ClusterLoadAssignmentSchema, step.endpoints);
  assert.deepEqual(
    endpoints.sort(),
    [...now.endpoints].filter((entry) => !isOther(entry)).sort(),
    `${what}: endpoints`,
  );
}

const nameOf = ({ kind, metadata }: KubernetesObject): string => `${kind} ${metadata.namespace ?? ""}/${metadata.name}`;

test("no proxy is left out when an object comes or goes", () => {
  for (const object of objects) {
    const without = objects.filter((other) => other !== object);
    checkStep(objects, without, `without ${nameOf(object)}`);
    checkStep(without, objects, `with ${nameOf(object)}`);
  }
});

/** Changes one text in the JSON of an object. */
function edited(kind: string, name: string, from: string, to: string): KubernetesObject[] {
  let found = false;
  const next = objects.map((object) => {
    if (object.kind !== kind || object.metadata.name !== name) return object;
    const text = JSON.stringify(object);
    found ||= text.includes(from);
    return JSON.parse(text.replace(from, to)) as KubernetesObject;
  });
  assert.ok(found, `${kind} ${name} has no ${from}`);
  return next;
}

const edits: readonly [kind: string, name: string, from: string, to: string, reached: number][] = [
  ["VirtualService", "private", '"3s"', '"4s"', 2],
  ["VirtualService", "back", '"weight":50', '"weight":51', 6],
  ["VirtualService", "ingress", '"front"', '"back"', 1],
  ["DestinationRule", "back", '"version":"v2"', '"version":"v3"', 8],
  ["DestinationRule", "wide", "10", "20", 9],
  ["Service", "alone", '"port":80', '"port":81', 8],
  ["Service", "east-west", "192.0.2.1", "192.0.2.2", 9],
  ["ServiceEntry", "external", "443", "444", 8],
  ["ServiceEntry", "listed", "10.9.0.2", "10.9.0.3", 5],
  ["Sidecar", "stock", "default/back", "default/front", 2],
  ["Sidecar", "default", "./*", "shop/*", 1],
  ["PeerAuthentication", "default", "DISABLE", "STRICT", 8],
  ["AuthorizationPolicy", "quiet", "GET", "POST", 1],
  ["RequestAuthentication", "front", '"me"', '"you"', 5],
  ["EnvoyFilter", "lua", '"7s"', '"8s"', 2],
  ["Gateway", "ingress", '"*"', '"a.example.com"', 2],
  ["Gateway", "web", '"All"', '"Same"', 2],
  ["Gateway", "web", '"port":80', '"port":88', 2],
  ["ListenerSet", "more", "8081", "8082", 2],
  ["Ingress", "old", "/old", "/ancient", 1],
  ["Ingress", "old", "old.example", "new.example", 1],
  ["IngressClass", "istio", "istio.io/ingress-controller", "nginx.org/ingress-controller", 2],
  ["Node", "node", '"r1"', '"r2"', 8],
  ["Namespace", "quiet", '"name":"quiet"', '"name":"quiet","labels":{"a":"b"}', 0],
  ["WorkloadGroup", "machines", '"machine"', '"other"', 0],
  ["Telemetry", "logs", '"envoy"', '"none"', 2],
  ["ProxyConfig", "two", "2", "3", 0],
  ["HTTPRoute", "web", "/front", "/back", 1],
  ["HTTPRoute", "inside", "3s", "4s", 6],
  ["WorkloadEntry", "machine", '"app":"machine"', '"app":"other"', 7],
  ["EndpointSlice", "alone-v1-10-0-2-1-slice", '"ready":true', '"ready":false', 0],
  ["Pod", "cart-v1-10-0-1-1", '"True"', '"False"', 1],
];

for (const [kind, name, from, to, reached] of edits) {
  test(`an edit reaches who it concerns: ${kind} ${name}, ${from} to ${to}`, () => {
    assert.equal(checkStep(objects, edited(kind, name, from, to), `${kind} ${name}`), reached);
  });
}

test("of every kind it can be told whom a change reaches", () => {
  const without = [...decodableKinds.values()].map(({ kind }) => kind).filter((kind) => !hasReach(kind));
  assert.deepEqual(without, []);
});

test("a Namespace reaches everybody where labels decide what the mesh reads", () => {
  const discoverySelectors = [{ matchLabels: { mesh: "yes" }, matchExpressions: [] }];
  const options = { meshConfig: { ...defaultMeshConfig, discoverySelectors } };
  const sources = (some: readonly KubernetesObject[]) => some.map((object) => ({ object }));
  const previous = buildSnapshot(sources(objects), options);
  const labeled = edited("Namespace", "shop", '"name":"shop"', '"name":"shop","labels":{"mesh":"yes"}');
  assert.equal(reachOf(previous, buildSnapshot(sources(labeled), options, previous)), "everything");
});
