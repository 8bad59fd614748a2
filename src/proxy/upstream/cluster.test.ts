// DNS clusters, endpoint updates and what survives them.
import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLogger } from "#base/log/log.ts";
import { ManualClock } from "#base/time/clock.ts";
import { SecretStore } from "#wire/tls/secrets.ts";
import { plainEndpointSet } from "../config/cluster.ts";
import { balancedBy, clusterConfig, endpointConfig } from "../listener/testing/data-path.ts";
import { EventLoop } from "../transport/event-loop.ts";
import { ClusterManager } from "./cluster-manager.ts";
import type { DnsAnswer, ResolveDns } from "./dns/resolve-dns.ts";

function manager(resolve: ResolveDns): { clusters: ClusterManager; clock: ManualClock } {
  const clock = new ManualClock();
  const loop = new EventLoop({ clock, now: () => clock.now() });
  return { clusters: new ClusterManager({ loop, secrets: new SecretStore(), log: silentLogger, resolve }), clock };
}

const { dns } = clusterConfig({ name: "dns" });
const named = plainEndpointSet("dns", [endpointConfig(80, { host: "db.example", key: "db.example:80" })]);

function addresses(clusters: ClusterManager): string[] {
  return clusters.describe()[0]?.endpoints.map((endpoint) => endpoint.config.key) ?? [];
}

test("STRICT_DNS uses every address, follows changes and keeps the last good answer", () => {
  let answer: string[] | null = ["10.0.0.1", "fd00::1"];
  const { clusters, clock } = manager((_question, done) =>
    done({ addresses: answer ?? [], ttlMs: null, error: answer === null ? "SERVFAIL" : null }),
  );
  clusters.update(
    clusterConfig({ name: "dns", type: "strict_dns", endpoints: named, dns: { ...dns, refreshMs: 5000 } }),
  );
  assert.deepEqual(addresses(clusters), ["10.0.0.1:80", "[fd00::1]:80"]);
  answer = null;
  clock.advance(5000);
  assert.deepEqual(addresses(clusters), ["10.0.0.1:80", "[fd00::1]:80"]);
  answer = ["10.0.0.2"];
  clock.advance(5000);
  assert.deepEqual(addresses(clusters), ["10.0.0.2:80"]);
  clusters.stop();
});

test("LOGICAL_DNS has one endpoint with the first address, and keeps the others for when it does not answer", () => {
  const { clusters } = manager((_question, done) =>
    done({ addresses: ["10.0.0.1", "10.0.0.2"], ttlMs: null, error: null }),
  );
  clusters.update(clusterConfig({ name: "dns", type: "logical_dns", endpoints: named }));
  assert.deepEqual(addresses(clusters), ["10.0.0.1:80"]);
  assert.deepEqual(clusters.get("dns")?.endpoints[0]?.config.additionalAddresses, ["10.0.0.2"]);
  clusters.stop();
});

test("an answer that comes after an update of the cluster is dropped", () => {
  const waiting: ((answer: DnsAnswer) => void)[] = [];
  const { clusters } = manager((_question, done) => void waiting.push(done));
  clusters.update(clusterConfig({ name: "dns", type: "strict_dns", endpoints: named }));
  clusters.update(
    clusterConfig({ name: "dns", type: "strict_dns", endpoints: named, loadBalancing: balancedBy({ type: "random" }) }),
  );
  waiting[0]?.({ addresses: ["10.0.0.1"], ttlMs: null, error: null });
  assert.deepEqual(addresses(clusters), []);
  waiting[1]?.({ addresses: ["10.0.0.2"], ttlMs: null, error: null });
  assert.deepEqual(addresses(clusters), ["10.0.0.2:80"]);
  clusters.stop();
});

test("an EDS cluster is warm once its endpoints came, before or after the cluster", () => {
  const { clusters } = manager(() => {});
  clusters.update(clusterConfig({ name: "late", type: "eds" }));
  let warm = false;
  clusters.get("late")?.whenWarm(() => (warm = true));
  assert.equal(warm, false);
  clusters.setEndpoints(plainEndpointSet("late", []));
  assert.equal(warm, true);
  clusters.setEndpoints(plainEndpointSet("early", [endpointConfig(80)]));
  clusters.update(clusterConfig({ name: "early", type: "eds" }));
  assert.equal(clusters.get("early")?.isWarm, true);
  clusters.stop();
});

test("an endpoint that stays keeps its load and counters through updates", () => {
  const { clusters } = manager(() => {});
  clusters.update(clusterConfig({ name: "app", type: "eds" }));
  clusters.setEndpoints(plainEndpointSet("app", [endpointConfig(80), endpointConfig(81)]));
  const before = clusters.get("app")?.endpoints[0];
  clusters.setEndpoints(plainEndpointSet("app", [endpointConfig(80, { weight: 5 })]));
  clusters.update(clusterConfig({ name: "app", type: "eds", loadBalancing: balancedBy({ type: "random" }) }));
  const after = clusters.get("app")?.endpoints;
  assert.equal(after?.length, 1);
  assert.equal(after?.[0], before);
  assert.equal(after?.[0]?.config.weight, 5);
  clusters.stop();
});

test("endpoints that nobody confirms in time are not used any more", () => {
  const { clusters, clock } = manager(() => {});
  clusters.update(clusterConfig({ name: "app", type: "eds" }));
  const set = plainEndpointSet("app", [endpointConfig(80)]);
  const fresh = { ...set, policy: { ...set.policy, staleAfterMs: 10_000 } };
  clusters.setEndpoints(fresh);
  clock.advance(9000);
  clusters.setEndpoints(fresh);
  clock.advance(9000);
  assert.equal(clusters.get("app")?.endpoints.length, 1);
  clock.advance(1000);
  assert.equal(clusters.get("app")?.endpoints.length, 0);
  assert.equal(clusters.get("app")?.counters.staleAssignments, 1);
  clusters.setEndpoints(set);
  clock.advance(60_000);
  assert.equal(clusters.get("app")?.endpoints.length, 1);
  clusters.stop();
});
