// One set of rules for every balancer, then what is special to each.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ClusterConfig, EndpointConfig } from "../config/cluster.ts";
import { UpstreamEndpoint } from "./endpoint.ts";
import { LoadBalancer } from "./load-balancer.ts";

function endpoint(key: string, overrides: Partial<EndpointConfig> = {}): UpstreamEndpoint {
  return new UpstreamEndpoint({
    key,
    host: key,
    port: 80,
    weight: 1,
    priority: 0,
    locality: "",
    health: "healthy",
    transportMatch: {},
    workload: "",
    ...overrides,
  });
}

/** A repeatable stream of draws. */
function draws(seed = 1): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

function counts(balancer: LoadBalancer, total: number): Map<string, number> {
  const random = draws();
  const seen = new Map<string, number>();
  for (let i = 0; i < total; i++) {
    const key = balancer.choose(random)?.config.key ?? "none";
    seen.set(key, (seen.get(key) ?? 0) + 1);
  }
  return seen;
}

const policies: readonly ClusterConfig["lbPolicy"][] = [
  "round_robin",
  "least_request",
  "random",
  "ring_hash",
  "maglev",
];

for (const policy of policies) {
  test(`${policy}: nothing from nothing, all from one, every endpoint gets its share`, () => {
    const balancer = new LoadBalancer();
    balancer.update(policy, 0, []);
    assert.equal(balancer.choose(draws()), null);
    balancer.update(policy, 0, [endpoint("a")]);
    assert.deepEqual([...counts(balancer, 10)], [["a", 10]]);
    balancer.update(policy, 0, [endpoint("a"), endpoint("b"), endpoint("c")]);
    for (const [, count] of counts(balancer, 3000)) assert.ok(count > 850 && count < 1150, `${count}`);
  });

  test(`${policy}: weights are kept`, () => {
    const balancer = new LoadBalancer();
    balancer.update(policy, 0, [endpoint("a", { weight: 1 }), endpoint("b", { weight: 3 })]);
    const seen = counts(balancer, 4000);
    assert.ok((seen.get("b") ?? 0) > 2750, `${seen.get("b")}`);
  });

  test(`${policy}: unhealthy and draining endpoints get nothing, and with none healthy there is none`, () => {
    const balancer = new LoadBalancer();
    const bad = [endpoint("u", { health: "unhealthy" }), endpoint("d", { health: "draining" })];
    balancer.update(policy, 0, [endpoint("a"), ...bad]);
    assert.deepEqual([...counts(balancer, 50)], [["a", 50]]);
    balancer.update(policy, 0, bad);
    assert.deepEqual([...counts(balancer, 5)], [["none", 5]]);
  });

  test(`${policy}: below the panic threshold every endpoint but the draining ones is used`, () => {
    const balancer = new LoadBalancer();
    const all = [
      endpoint("a"),
      endpoint("b", { health: "unhealthy" }),
      endpoint("c", { health: "unhealthy" }),
      endpoint("d", { health: "draining" }),
    ];
    balancer.update(policy, 50, all);
    assert.deepEqual([...counts(balancer, 300).keys()].sort(), ["a", "b", "c"]);
  });

  test(`${policy}: a failing priority spills over in proportion`, () => {
    const balancer = new LoadBalancer();
    const low = [endpoint("p1", { priority: 1 })];
    balancer.update(policy, 0, [endpoint("a"), endpoint("b"), ...low]);
    assert.equal(counts(balancer, 100).get("p1"), undefined);
    balancer.update(policy, 0, [endpoint("a"), endpoint("b", { health: "unhealthy" }), ...low]);
    // 1 of 2 healthy × 1.4 = 70 %.
    const spilled = counts(balancer, 2000).get("p1") ?? 0;
    assert.ok(spilled > 500 && spilled < 700, `${spilled}`);
    balancer.update(policy, 0, [endpoint("a", { health: "unhealthy" }), ...low]);
    assert.equal(counts(balancer, 100).get("p1"), 100);
  });
}

test("least request prefers the endpoint with less in flight", () => {
  const balancer = new LoadBalancer();
  const busy = endpoint("busy");
  busy.activeRequests = 10;
  balancer.update("least_request", 0, [busy, endpoint("free")]);
  const seen = counts(balancer, 1000);
  assert.ok((seen.get("free") ?? 0) > 700);
});

test("round robin takes turns", () => {
  const balancer = new LoadBalancer();
  balancer.update("round_robin", 0, [endpoint("a"), endpoint("b")]);
  const keys = Array.from({ length: 4 }, () => balancer.choose(draws())?.config.key);
  assert.deepEqual(keys, ["a", "b", "a", "b"]);
});
