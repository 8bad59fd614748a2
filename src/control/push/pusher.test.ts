import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { silentLogger } from "#base/log/log.ts";
import { MetricRegistry } from "#base/metrics/registry.ts";
import { type ProxyNode, parseProxyNode } from "#mesh/snapshot/proxy-node.ts";
import type { MeshSnapshot } from "#mesh/snapshot/snapshot.ts";
import { ClusterSchema } from "#wire/gen/envoy/config/cluster/v3/cluster_pb.ts";
import { ClusterLoadAssignmentSchema } from "#wire/gen/envoy/config/endpoint/v3/endpoint_pb.ts";
import { SecretSchema } from "#wire/gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.ts";
import { typeUrl } from "#wire/xds/type-urls.ts";
import type { MeshCompiler } from "./compile.ts";
import type { ProxyResources } from "./encoded-resource.ts";
import { emptyImpact } from "./impact.ts";
import { createPushMetrics } from "./push-metrics.ts";
import { Pusher, type PushTarget } from "./pusher.ts";

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
    account: PushTarget["account"] = { namespace: "default", serviceAccount: "a" };
    readonly updates: ProxyResources[] = [];
    constructor(ip: string) {
      this.node = node(ip);
    }
    update(resources: ProxyResources): void {
      this.updates.push(resources);
    }
  }

  const noRouting = { listeners: new Map(), routes: new Map(), extensions: new Map(), extensionOrigins: new Map() };

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
        return { clusters, endpoints: assignment(current.version), ...noRouting };
      },
      compileRouting: (current, { ipAddresses: [ip = ""] }) => {
        compiled.push(`${ip} routing ${current.version}`);
        return noRouting;
      },
      compileServices: (current, { ipAddresses: [ip = ""] }, hostnames) => {
        const hosts = [...hostnames];
        compiled.push(`${ip} services ${hosts.join()} ${current.version}`);
        const named = (name: string): string => `outbound|81||${name}`;
        const clusters = hosts.map((host) => create(ClusterSchema, { name: named(host) }));
        const endpoints = hosts.map((host) => create(ClusterLoadAssignmentSchema, { clusterName: named(host) }));
        return {
          clusters: new Map(clusters.map((item) => [item.name, item])),
          endpoints: new Map(endpoints.map((item) => [item.clusterName, item])),
          ...noRouting,
        };
      },
      compileEndpoints: (current, { ipAddresses: [ip = ""] }, names) => {
        compiled.push(`${ip} ${[...names].join()} ${current.version}`);
        return assignment(current.version);
      },
      compileSecret: (_current, _node, name) =>
        name === "kubernetes://web" ? { secret: create(SecretSchema, { name }), needsPermission: true } : undefined,
    };
    const secretAccess = { mayRead: () => true };
    return {
      pusher: new Pusher(compiler, secretAccess, silentLogger, createPushMetrics(new MetricRegistry())),
      compiled,
      fail,
    };
  }

  test("a change compiles only the part that it is about, and everything for the proxy that came or went", async () => {
    const { pusher, compiled } = setUp();
    const [near, own] = [new Target("10.0.0.1"), new Target("10.0.0.2")];
    pusher.push(snapshot("1"), { kind: "everything" });
    pusher.add(near);
    pusher.add(own);
    compiled.length = 0;
    const hostnames = new Set(["a.default.svc.cluster.local"]);
    const isOwn = ({ ipAddresses }: ProxyNode): boolean => ipAddresses.includes("10.0.0.2");
    pusher.push(snapshot("2"), { ...emptyImpact, hostnames, concerns: isOwn });
    await pusher.idle();
    assert.deepEqual(compiled, [`10.0.0.1 ${cluster} 2`, "10.0.0.2 all 2"]);
    const [first, second] = near.updates;
    const type = (resources: ProxyResources | undefined, url: string): unknown => resources?.byType.get(url);
    assert.equal(type(first, typeUrl.cluster), type(second, typeUrl.cluster));
    assert.notEqual(type(first, typeUrl.endpoint), type(second, typeUrl.endpoint));
    pusher.push(snapshot("3"), { ...emptyImpact, hostnames: new Set(["other"]) });
    await pusher.idle();
    assert.equal(near.updates.length, 2);
    compiled.length = 0;
    const reroutes = ({ ipAddresses }: ProxyNode): boolean => ipAddresses.includes("10.0.0.1");
    pusher.push(snapshot("4"), { ...emptyImpact, reroutes });
    await pusher.idle();
    assert.deepEqual(compiled, ["10.0.0.1 routing 4"]);
    assert.equal(type(near.updates.at(-1), typeUrl.endpoint), type(second, typeUrl.endpoint));
  });

  test("a service that differs compiles its own clusters and endpoints; the others stay, in one set for all", async () => {
    const { pusher, compiled } = setUp();
    const targets = [new Target("10.0.0.1"), new Target("10.0.0.2"), new Target("10.0.0.3")];
    pusher.push(snapshot("1"), { kind: "everything" });
    for (const target of targets) pusher.add(target);
    compiled.length = 0;
    const sees = ({ ipAddresses }: ProxyNode): boolean => !ipAddresses.includes("10.0.0.3");
    const push = async (version: string, host: string): Promise<void> => {
      const hosts = new Set([host]);
      pusher.push(snapshot(version), { ...emptyImpact, hostnames: hosts, services: hosts, reclusters: sees });
      await pusher.idle();
    };
    await push("2", "new");
    assert.deepEqual(compiled, ["10.0.0.1 services new 2", "10.0.0.2 services new 2"]);
    const sets = (url: string): unknown[] => targets.map((target) => target.updates.at(-1)?.byType.get(url));
    for (const url of [typeUrl.cluster, typeUrl.endpoint]) {
      const [first, second, third] = sets(url) as ReadonlyMap<string, unknown>[];
      assert.deepEqual([...(first?.keys() ?? [])], [cluster, "outbound|81||new"]);
      assert.equal(first, second);
      assert.equal(first?.get(cluster), third?.get(cluster));
    }
    assert.equal(targets[2]?.updates.length, 1);
    // The compiler answers for `a` with another port: what it had goes.
    await push("3", "a.default.svc.cluster.local");
    const [first] = sets(typeUrl.cluster) as ReadonlyMap<string, unknown>[];
    assert.deepEqual([...(first?.keys() ?? [])], ["outbound|81||new", "outbound|81||a.default.svc.cluster.local"]);
  });

  test("a Secret compiles nothing: who is known and may have it is given the newest when he looks again", async () => {
    const { pusher, compiled } = setUp();
    const target = new Target("10.0.0.1");
    pusher.push(snapshot("1"), { kind: "everything" });
    pusher.add(target);
    compiled.length = 0;
    pusher.refreshSecrets();
    await pusher.idle();
    assert.deepEqual([compiled, target.updates.length], [[], 2]);
    const secretOf = (name: string): unknown => target.updates.at(-1)?.secret(name);
    assert.equal((secretOf("kubernetes://web") as { name: string }).name, "kubernetes://web");
    assert.equal(secretOf("kubernetes://nobody"), undefined);
    target.account = undefined;
    pusher.remove(target);
    pusher.add(target);
    assert.equal(secretOf("kubernetes://web"), undefined, "nobody knows who asks");
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
    // It is caught up with the next push, even if that does not concern it.
    pusher.push(snapshot("3"), emptyImpact);
    await pusher.idle();
    assert.deepEqual(
      targets.map((target) => target.updates.at(-1)?.snapshotVersion),
      ["3", "2"],
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
