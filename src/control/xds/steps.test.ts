// After any step from one configuration to the next, pushed by what it reaches, proxies have what a control plane that
// starts now would give them.
import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLogger } from "#base/log/log.ts";
import { MetricRegistry } from "#base/metrics/registry.ts";
import { bookinfo, fromYaml, ingressGateway, service, sidecarOf, workload } from "#mesh/compile/testing/mesh.ts";
import { loadEnvoyTypes } from "#mesh/objects/envoy-types.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { type BuiltSnapshot, buildSnapshot } from "#mesh/snapshot/build.ts";
import type { ProxyNode } from "#mesh/snapshot/proxy-node.ts";
import type { ProxyResources } from "../push/encoded-resource.ts";
import { assessImpact } from "../push/impact.ts";
import { createPushMetrics } from "../push/push-metrics.ts";
import { Pusher, type PushTarget } from "../push/pusher.ts";
import { meshCompiler } from "./mesh-compiler.ts";

await loadEnvoyTypes();

const web = [{ name: "http", number: 9080 }];
const tcp = [{ name: "tcp", number: 7000 }];
const other = { namespace: "other" };

const base: readonly KubernetesObject[] = [
  ...bookinfo,
  service("cart", "10.96.7.1", web, other),
  ...workload("cart", web, { ip: "10.244.7.1", ...other }),
];

/** Each comes and goes. */
const parts: readonly (readonly KubernetesObject[])[] = [
  [service("data", "None", tcp, other), ...workload("data", tcp, { ip: "10.244.7.2", ...other })],
  workload("cart", web, { ip: "10.244.7.3", ...other }),
  workload("reviews", web, { ip: "10.244.7.4", version: "v9" }),
  ...fromYaml(`
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec: {hosts: [reviews], http: [{match: [{sourceLabels: {app: productpage}}], route: [{destination: {host: reviews, subset: v2}}]}, {route: [{destination: {host: reviews}}]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: cart, namespace: other}
spec: {hosts: [cart], exportTo: ["."], http: [{timeout: 2s, route: [{destination: {host: cart}}]}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews}
spec: {host: reviews, trafficPolicy: {outlierDetection: {consecutive5xxErrors: 3}}, subsets: [{name: v2, labels: {version: v2}}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: outside}
spec: {hosts: [api.example.com], ports: [{number: 9080, name: http, protocol: HTTP}], resolution: STATIC, endpoints: [{address: 192.0.2.1}]}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default, namespace: other}
spec: {egress: [{hosts: ["./*", "default/reviews.default.svc.cluster.local"]}]}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default}
spec: {mtls: {mode: STRICT}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: cart, namespace: other}
spec: {rules: [{to: [{operation: {methods: [GET]}}]}]}
---
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: logs, namespace: other}
spec: {accessLogging: [{providers: [{name: envoy}]}]}
---
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: patch, namespace: other}
spec:
  configPatches:
  - applyTo: VIRTUAL_HOST
    match: {context: SIDECAR_OUTBOUND}
    patch: {operation: MERGE, value: {request_headers_to_add: [{header: {key: x-patched, value: "yes"}}]}}
  - applyTo: CLUSTER
    match: {context: SIDECAR_OUTBOUND}
    patch: {operation: MERGE, value: {connect_timeout: 7s}}
`).map((object) => [object]),
];

const proxies: readonly ProxyNode[] = [
  sidecarOf("productpage", "10.244.0.11"),
  sidecarOf("reviews", "10.244.0.21"),
  { ...sidecarOf("ratings", "10.244.0.31"), dnsCapture: true },
  sidecarOf("cart", "10.244.7.1", other),
  sidecarOf("data", "10.244.7.2", other),
  ingressGateway(),
];

class Target implements PushTarget {
  readonly node: ProxyNode;
  readonly account = undefined;
  resources: ProxyResources | undefined;

  constructor(node: ProxyNode) {
    this.node = node;
  }

  update(resources: ProxyResources): void {
    this.resources = resources;
  }

  /** Name → version by type. */
  has(): Record<string, Record<string, string>> {
    return Object.fromEntries(
      [...(this.resources?.byType ?? [])].map(([url, resources]) => [
        url,
        Object.fromEntries([...resources].map(([name, { version }]) => [name, version]).sort()),
      ]),
    );
  }
}

class Control {
  readonly targets = proxies.map((node) => new Target(node));
  readonly #pusher = new Pusher(
    meshCompiler,
    { mayRead: () => true },
    silentLogger,
    createPushMetrics(new MetricRegistry()),
  );
  #snapshot: BuiltSnapshot | undefined;

  async give(objects: readonly KubernetesObject[]): Promise<void> {
    const isFirst = this.#snapshot === undefined;
    const next = buildSnapshot(
      objects.map((object) => ({ object })),
      {},
      this.#snapshot,
    );
    this.#pusher.push(next, assessImpact(this.#snapshot, next));
    this.#snapshot = next;
    if (isFirst) for (const target of this.targets) this.#pusher.add(target);
    await this.#pusher.idle();
  }
}

test("after a hundred steps, each pushed by what it reaches, proxies have what they would get from the start", async () => {
  const control = new Control();
  const present = new Set<number>();
  // Every run takes the same steps.
  let seed = 3;
  for (let step = 0; step <= 100; step++) {
    seed = (seed * 1103515245 + 12345) % 2 ** 31;
    const part = (seed >>> 8) % parts.length;
    if (step > 0 && !present.delete(part)) present.add(part);
    const objects = [...base, ...[...present].sort((a, b) => a - b).flatMap((index) => parts[index] ?? [])];
    await control.give(objects);
    const fresh = new Control();
    await fresh.give(objects);
    for (const [index, target] of control.targets.entries()) {
      assert.deepEqual(target.has(), fresh.targets[index]?.has(), `step ${step}, part ${part}: ${target.node.id}`);
    }
  }
});
