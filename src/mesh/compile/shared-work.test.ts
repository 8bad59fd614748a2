// What proxies share must be what each of them would get alone.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type DescMessage, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { ClusterSchema } from "#wire/gen/envoy/config/cluster/v3/cluster_pb.ts";
import { ClusterLoadAssignmentSchema } from "#wire/gen/envoy/config/endpoint/v3/endpoint_pb.ts";
import { ListenerSchema } from "#wire/gen/envoy/config/listener/v3/listener_pb.ts";
import { RouteConfigurationSchema } from "#wire/gen/envoy/config/route/v3/route_pb.ts";
import { loadEnvoyTypes } from "../objects/envoy-types.ts";
import type { KubernetesObject } from "../objects/kubernetes-object.ts";
import type { ProxyNode } from "../snapshot/proxy-node.ts";
import type { MeshSnapshot } from "../snapshot/snapshot.ts";
import { compileProxy, compileRoutes } from "./compile.ts";
import { nobody, once, onceForAll } from "./shared-work.ts";
import { fromYaml, mesh, service, sidecarOf, workload } from "./testing/mesh.ts";

await loadEnvoyTypes();

const web = [{ name: "http", number: 80, target: 8080 }];
const tcp = [{ name: "tcp", number: 6379 }];
const shop = { namespace: "shop" };

/** Something for every property of a client that the compiler asks for. */
const objects: KubernetesObject[] = [
  service("front", "10.96.0.1", web),
  ...workload("front", web, { ip: "10.0.0.1" }),
  ...workload("front", web, { ip: "10.0.0.2", version: "v2" }),
  service("cart", "10.96.1.1", web, shop),
  ...workload("cart", web, { ip: "10.0.1.1", ...shop }),
  service("data", "None", tcp),
  ...workload("data", tcp, { ip: "10.0.2.1" }),
  ...workload("data", tcp, { ip: "10.0.2.2" }),
  ...fromYaml(`
apiVersion: v1
kind: Service
metadata: {name: near}
spec:
  clusterIP: 10.96.0.8
  internalTrafficPolicy: Local
  selector: {app: front}
  ports: [{name: http, port: 80, targetPort: 8080}]
---
apiVersion: v1
kind: Service
metadata: {name: alias, namespace: shop}
spec: {type: ExternalName, externalName: front.default.svc.cluster.local, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Node
metadata: {name: node, labels: {topology.kubernetes.io/region: r1, topology.kubernetes.io/zone: z1}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: by-label}
spec:
  hosts: [front]
  http:
  - match: [{sourceLabels: {version: v2}}]
    route: [{destination: {host: front, subset: v2}}]
  - match: [{sourceNamespace: shop}]
    fault: {abort: {httpStatus: 418, percentage: {value: 100}}}
    route: [{destination: {host: front}}]
  - route: [{destination: {host: front, subset: v1}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: tcp-by-label}
spec:
  hosts: [db.example.com]
  tcp:
  - match: [{port: 5432, sourceLabels: {version: v2}}]
    route: [{destination: {host: data, port: {number: 6379}}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: front}
spec:
  host: front
  trafficPolicy:
    outlierDetection: {consecutive5xxErrors: 5}
    loadBalancer:
      consistentHash: {httpHeaderName: x-user}
      localityLbSetting: {failoverPriority: ["version", "topology.kubernetes.io/region"]}
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: cart, namespace: shop}
spec:
  host: cart.shop.svc.cluster.local
  exportTo: ["."]
  trafficPolicy: {outlierDetection: {consecutive5xxErrors: 5}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: db}
spec:
  hosts: [db.example.com]
  ports: [{number: 5432, name: tcp, protocol: TCP}]
  resolution: DNS
  endpoints: [{address: a.example.com, locality: r1/z1}, {address: b.example.com, locality: r2/z1}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: db}
spec: {host: db.example.com, trafficPolicy: {outlierDetection: {consecutive5xxErrors: 5}}}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: narrow}
spec: {workloadSelector: {labels: {narrow: "yes"}}, egress: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["shop/*"]}]}
---
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: logs}
spec: {selector: {matchLabels: {version: v2}}, accessLogging: [{providers: [{name: envoy}]}]}
---
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: patch}
spec:
  workloadSelector: {labels: {patched: "yes"}}
  configPatches:
  - applyTo: VIRTUAL_HOST
    match: {context: SIDECAR_OUTBOUND, routeConfiguration: {vhost: {name: "front.default.svc.cluster.local:80"}}}
    patch: {operation: MERGE, value: {request_headers_to_add: [{header: {key: x-patched, value: "yes"}}]}}
  - applyTo: CLUSTER
    match: {context: SIDECAR_OUTBOUND}
    patch: {operation: MERGE, value: {connect_timeout: 7s}}
`),
];

const front = sidecarOf("front", "10.0.0.1");
const labeled = (labels: Record<string, string>): ProxyNode => ({ ...front, labels: { ...front.labels, ...labels } });
const clients: Readonly<Record<string, ProxyNode>> = {
  "the first": front,
  "one like the first": {
    ...front,
    id: "sidecar~10.0.0.9~other.default~default.svc.cluster.local",
    ipAddresses: ["10.0.0.9"],
  },
  "another version": labeled({ version: "v2" }),
  "a Sidecar of its own": labeled({ narrow: "yes" }),
  "patches of its own": labeled({ patched: "yes" }),
  "another namespace": sidecarOf("cart", "10.0.1.1", shop),
  "a third namespace": sidecarOf("else", "10.0.3.1", { namespace: "elsewhere" }),
  "a pod of a headless Service": sidecarOf("data", "10.0.2.1"),
  "another pod of it": sidecarOf("data", "10.0.2.2"),
  "addresses of version 6": { ...front, ipAddresses: ["fd00::1"] },
  "capture by TPROXY": { ...front, interceptionMode: "TPROXY" },
  "no capture": { ...front, interceptionMode: "NONE" },
  "capture of DNS": { ...front, dnsCapture: true },
  "another locality": { ...front, locality: { region: "r2", zone: "z1", subzone: "" } },
  "another node": { ...front, nodeName: "far" },
  "another cluster domain": { ...front, clusterDomain: "example.org" },
  "an HTTP proxy": { ...front, metadata: { HTTP_PROXY_PORT: "3128" } },
};

function bytesOf(snapshot: MeshSnapshot, proxy: ProxyNode): Record<string, string> {
  const all = <D extends DescMessage>(schema: D, messages: ReadonlyMap<string, MessageShape<D>>): [string, string][] =>
    [...messages].map(([name, message]) => [
      `${schema.name} ${name}`,
      Buffer.from(toBinary(schema, message)).toString("base64"),
    ]);
  const { clusters, endpoints, listeners, routes } = compileProxy(snapshot, proxy);
  return Object.fromEntries([
    ...all(ClusterSchema, clusters),
    ...all(ClusterLoadAssignmentSchema, endpoints),
    ...all(ListenerSchema, listeners),
    ...all(RouteConfigurationSchema, routes),
  ]);
}

const shared = mesh(objects);
for (const proxy of Object.values(clients)) bytesOf(shared, proxy);

for (const [what, proxy] of Object.entries(clients)) {
  test(`after many others a proxy gets what it would get alone: ${what}`, () => {
    assert.deepEqual(bytesOf(shared, proxy), bytesOf(mesh(objects), proxy));
  });
}

test("proxies that are alike share layers, and namespaces share virtual hosts", () => {
  const [first, like] = [front, clients["one like the first"] as ProxyNode].map((proxy) => compileProxy(shared, proxy));
  assert.equal(first?.endpoints, like?.endpoints);
  assert.equal(first?.routes.get("80"), like?.routes.get("80"));
  const hostOf = (proxy: ProxyNode, name: string) =>
    compileRoutes(shared, proxy)
      .get("80")
      ?.virtualHosts.find((host) => host.name === name);
  const elsewhere = clients["a third namespace"] as ProxyNode;
  const near = "near.default.svc.cluster.local:80";
  assert.ok(hostOf(elsewhere, near) !== undefined);
  assert.equal(hostOf(elsewhere, near), hostOf(clients["another namespace"] as ProxyNode, near));
  assert.notEqual(hostOf(elsewhere, near), hostOf(front, near), "it has a shorter name where it is");
});

describe("shared work", () => {
  test("is done once for the same owners and key, and again for others", () => {
    let count = 0;
    const compute = (): number => ++count;
    const [a, b] = [{}, {}];
    assert.deepEqual([onceForAll([a, b], "x", compute), onceForAll([a, b], "x", compute)], [1, 1]);
    assert.deepEqual([onceForAll([b, a], "x", compute), onceForAll([a, nobody], "x", compute)], [2, 3]);
    assert.deepEqual([onceForAll([a, b], "y", compute), once(a, "x", compute), once(a, "x", compute)], [4, 5, 5]);
  });

  test("is kept for a bounded number of keys", () => {
    const owner = {};
    const made: number[] = [];
    const make = (key: number): number => onceForAll([owner], String(key), () => made.push(key));
    for (let key = 0; key <= 1000; key++) make(key);
    const before = made.length;
    make(1000);
    assert.equal(made.length, before);
    make(0);
    assert.equal(made.length, before + 1, "the oldest is made again");
  });
});
