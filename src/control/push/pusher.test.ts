import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { silentLogger } from "#base/log/log.ts";
import { MetricRegistry } from "#base/metrics/registry.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { type ProxyNode, parseProxyNode } from "#mesh/snapshot/proxy-node.ts";
import type { SourceObject } from "#mesh/snapshot/read-object.ts";
import type { MeshSnapshot } from "#mesh/snapshot/snapshot.ts";
import { ClusterSchema } from "#wire/gen/envoy/config/cluster/v3/cluster_pb.ts";
import { ClusterLoadAssignmentSchema } from "#wire/gen/envoy/config/endpoint/v3/endpoint_pb.ts";
import { typeUrl } from "#wire/xds/type-urls.ts";
import type { SourceChange } from "../sources/config-source.ts";
import { createSnapshotBuilder } from "./build-snapshot.ts";
import type { MeshCompiler } from "./compile.ts";
import type { ProxyResources } from "./encoded-resource.ts";
import { assessImpact, type Impact } from "./impact.ts";
import { createPushMetrics } from "./push-metrics.ts";
import { Pusher, type PushTarget } from "./pusher.ts";

const service: KubernetesObject = {
  apiVersion: "v1",
  kind: "Service",
  metadata: { name: "a", namespace: "default" },
  spec: { clusterIP: "10.96.0.1", selector: { app: "a" }, ports: [{ name: "http", port: 80 }] },
};

const slice = (
  addresses: readonly string[],
  labels: Record<string, string> = { "kubernetes.io/service-name": "a" },
): KubernetesObject => ({
  apiVersion: "discovery.k8s.io/v1",
  kind: "EndpointSlice",
  metadata: { name: "a-1", namespace: "default", labels },
  addressType: "IPv4",
  ports: [{ name: "http", port: 80 }],
  endpoints: addresses.map((address) => ({ addresses: [address], conditions: { ready: true } })),
});

/** Builds two snapshots one after the other and says what the step can reach. */
function impactOf(
  before: readonly KubernetesObject[],
  after: readonly KubernetesObject[],
  changes: SourceChange[],
): Impact {
  const builder = createSnapshotBuilder({ namespace: "istio-system", revision: "default" });
  const wrap = (objects: readonly KubernetesObject[]): SourceObject[] => objects.map((object) => ({ object }));
  const previous = builder.build(wrap(before));
  return assessImpact(previous, builder.build(wrap(after)), changes);
}

describe("the impact of a change", () => {
  test("a slice that gains an address reaches the endpoints of its service, and the proxy at the address", () => {
    const [old, next] = [slice(["10.0.0.1"]), slice(["10.0.0.1", "10.0.0.2"])];
    const impact = impactOf([service, old], [service, next], [{ change: "changed", object: next, previous: old }]);
    assert.equal(impact.kind, "endpoints");
    assert.ok(impact.kind === "endpoints" && impact.hostnames.has("a.default.svc.cluster.local"));
    assert.ok(impact.kind === "endpoints" && impact.addresses.has("10.0.0.2"));
  });

  test("the same content reaches nobody", () => {
    const [old, next] = [slice(["10.0.0.1"]), slice(["10.0.0.1"])];
    assert.equal(
      impactOf([service, old], [service, next], [{ change: "changed", object: next, previous: old }]).kind,
      "none",
    );
  });

  test("whatever is not endpoints alone reaches everybody", () => {
    const next = slice(["10.0.0.1"]);
    assert.equal(impactOf([], [service], [{ change: "added", object: service }]).kind, "everything");
    const both: SourceChange[] = [
      { change: "added", object: service },
      { change: "added", object: next },
    ];
    assert.equal(impactOf([], [service, next], both).kind, "everything");
    const unlabelled = slice(["10.0.0.1"], {});
    const impact = impactOf([service], [service, unlabelled], [{ change: "added", object: unlabelled }]);
    assert.notEqual(impact.kind, "endpoints");
  });

  test("endpoints of another service account change clusters too", () => {
    const pod = (name: string, ip: string): KubernetesObject => ({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name, namespace: "default", labels: { app: "a" } },
      spec: { serviceAccountName: name, containers: [] },
      status: { podIP: ip, phase: "Running" },
    });
    const pods = [pod("one", "10.0.0.1"), pod("two", "10.0.0.2")];
    const withPod = (names: readonly string[]): KubernetesObject => ({
      ...slice([]),
      endpoints: names.map((name) => ({
        addresses: [name === "one" ? "10.0.0.1" : "10.0.0.2"],
        conditions: { ready: true },
        targetRef: { kind: "Pod", name, namespace: "default" },
      })),
    });
    const [old, next] = [withPod(["one"]), withPod(["one", "two"])];
    const impact = impactOf(
      [service, ...pods, old],
      [service, ...pods, next],
      [{ change: "changed", object: next, previous: old }],
    );
    assert.equal(impact.kind, "everything");
  });
});

describe("the pusher", () => {
  const cluster = "outbound|80||a.default.svc.cluster.local";
  const node = (ip: string): ProxyNode => {
    const parsed = parseProxyNode({ id: `sidecar~${ip}~p.default~default.svc.cluster.local` });
    assert.ok(typeof parsed !== "string");
    return parsed;
  };
  const snapshot = (version: string): MeshSnapshot => ({ version }) as MeshSnapshot;

  class Target implements PushTarget {
    readonly node: ProxyNode;
    readonly updates: ProxyResources[] = [];
    constructor(ip: string) {
      this.node = node(ip);
    }
    update(resources: ProxyResources): void {
      this.updates.push(resources);
    }
  }

  function setUp(): { pusher: Pusher; compiled: string[]; fail: { for: string } } {
    const compiled: string[] = [];
    const fail = { for: "" };
    const assignment = (version: string): Map<string, ReturnType<typeof create<typeof ClusterLoadAssignmentSchema>>> =>
      new Map([[cluster, create(ClusterLoadAssignmentSchema, { clusterName: `${cluster} ${version}` })]]);
    const compiler: MeshCompiler = {
      compile: (current, { ipAddresses: [ip = ""] }) => {
        if (fail.for === ip) throw new Error("broken");
        compiled.push(`${ip} all ${current.version}`);
        const clusters = new Map([[cluster, create(ClusterSchema, { name: cluster })]]);
        return { clusters, endpoints: assignment(current.version), listeners: new Map(), routes: new Map() };
      },
      compileEndpoints: (current, { ipAddresses: [ip = ""] }, names) => {
        compiled.push(`${ip} ${[...names].join()} ${current.version}`);
        return assignment(current.version);
      },
    };
    return { pusher: new Pusher(compiler, silentLogger, createPushMetrics(new MetricRegistry())), compiled, fail };
  }

  test("a change of endpoints compiles only those, and everything for the proxy that came or went", async () => {
    const { pusher, compiled } = setUp();
    const [near, own] = [new Target("10.0.0.1"), new Target("10.0.0.2")];
    pusher.push(snapshot("1"), { kind: "everything" });
    pusher.add(near);
    pusher.add(own);
    compiled.length = 0;
    const hostnames = new Set(["a.default.svc.cluster.local"]);
    pusher.push(snapshot("2"), { kind: "endpoints", hostnames, addresses: new Set(["10.0.0.2"]) });
    await pusher.idle();
    assert.deepEqual(compiled, [`10.0.0.1 ${cluster} 2`, "10.0.0.2 all 2"]);
    const [first, second] = near.updates;
    const type = (resources: ProxyResources | undefined, url: string): unknown => resources?.byType.get(url);
    assert.equal(type(first, typeUrl.cluster), type(second, typeUrl.cluster));
    assert.notEqual(type(first, typeUrl.endpoint), type(second, typeUrl.endpoint));
    pusher.push(snapshot("3"), { kind: "endpoints", hostnames: new Set(["other"]), addresses: new Set() });
    await pusher.idle();
    assert.equal(near.updates.length, 2);
  });

  test("a compilation that fails leaves that proxy as it is and does not stop the others", async () => {
    const { pusher, fail } = setUp();
    const targets = [new Target("10.0.0.1"), new Target("10.0.0.2")];
    pusher.push(snapshot("1"), { kind: "everything" });
    for (const target of targets) pusher.add(target);
    fail.for = "10.0.0.1";
    pusher.push(snapshot("2"), { kind: "everything" });
    await pusher.idle();
    assert.deepEqual(
      targets.map((target) => target.updates.length),
      [1, 2],
    );
    fail.for = "";
    pusher.push(snapshot("3"), { kind: "everything" });
    await pusher.idle();
    assert.deepEqual(
      targets.map((target) => target.updates.at(-1)?.snapshotVersion),
      ["3", "3"],
    );
  });

  test("equal content is one object for all proxies", async () => {
    const { pusher } = setUp();
    const targets = [new Target("10.0.0.1"), new Target("10.0.0.2")];
    pusher.push(snapshot("1"), { kind: "everything" });
    for (const target of targets) pusher.add(target);
    const [a, b] = targets.map((target) => target.updates[0]?.byType.get(typeUrl.cluster)?.get(cluster));
    assert.ok(a !== undefined && a === b);
  });
});
