// One set of rules for every balancing policy, plain and over subsets, run against all implementations.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { BalancingPolicy, SubsetConfig } from "../../config/load-balancing.ts";
import { type BalancerCounters, balancerCounters } from "./balancer.ts";
import { anyHost } from "./choice.ts";
import { EXCLUDED_VIA_IMMEDIATE_HC_FAIL, FAILED_ACTIVE_HC, FAILED_OUTLIER_CHECK, PENDING_ACTIVE_HC } from "./host.ts";
import { makeBalancer } from "./make-balancer.ts";
import {
  chance,
  host,
  hosts,
  leastRequest,
  maglev,
  ringHash,
  roundRobin,
  sick,
  stateOf,
  type TestHost,
  tally,
} from "./testing/hosts.ts";

/** All hosts are in the one subset that traffic without criteria falls back to. */
const anySubset: SubsetConfig = {
  selectors: [{ keys: ["version"], isSingleHost: false, fallback: null, fallbackKeys: [] }],
  fallback: "any_endpoint",
  defaultSubset: {},
  isLocalityWeightAware: true,
  scalesLocalityWeight: false,
  panicModeAny: false,
  listAsAny: false,
  usesFallbackList: false,
  allowsRedundantKeys: false,
};

const implementations: readonly {
  readonly name: string;
  readonly policy: BalancingPolicy;
  readonly subsets: SubsetConfig | null;
  readonly weighs: boolean;
}[] = [
  { name: "round robin", policy: roundRobin, subsets: null, weighs: true },
  { name: "least request", policy: leastRequest, subsets: null, weighs: true },
  {
    name: "least request over all",
    policy: { type: "least_request", choiceCount: 0, activeRequestBias: 1, slowStart: null },
    subsets: null,
    weighs: true,
  },
  { name: "random", policy: { type: "random" }, subsets: null, weighs: false },
  { name: "ring hash", policy: ringHash, subsets: null, weighs: true },
  {
    name: "ring hash with MurmurHash2",
    policy: { ...ringHash, hashFunction: "murmur_hash_2" },
    subsets: null,
    weighs: true,
  },
  {
    name: "ring hash with bounded loads",
    policy: { ...ringHash, balanceFactorPercent: 200 },
    subsets: null,
    weighs: true,
  },
  { name: "maglev", policy: maglev, subsets: null, weighs: true },
  { name: "maglev with bounded loads", policy: { ...maglev, balanceFactorPercent: 200 }, subsets: null, weighs: true },
  { name: "round robin in subsets", policy: roundRobin, subsets: anySubset, weighs: true },
  { name: "maglev in subsets", policy: maglev, subsets: anySubset, weighs: true },
];

for (const { name, policy, subsets, weighs } of implementations) {
  const balancer = (
    members: TestHost[],
    settings: Parameters<typeof stateOf>[2] = {},
    counters = balancerCounters(),
  ) => {
    const state = stateOf(policy, members, { subsets, ...settings });
    const made = makeBalancer<TestHost>(state.config, counters);
    made.update(state);
    return made;
  };
  const keys = (seen: Map<string, number>): string[] => [...seen.keys()].sort();

  test(`${name}: nothing from nothing, and everything from one`, () => {
    assert.equal(balancer([]).choose(anyHost, chance()), null);
    assert.deepEqual([...tally(balancer([host("a")]), 10)], [["a", 10]]);
  });

  test(`${name}: hosts of equal weight get equal parts`, () => {
    for (const [, count] of tally(balancer([host("10.0.0.1:80"), host("10.0.0.2:80"), host("10.0.0.3:80")]), 6000)) {
      assert.ok(count > 1700 && count < 2300, `${count}`);
    }
  });

  test(`${name}: weights ${weighs ? "are kept" : "do not count"}`, () => {
    const seen = tally(balancer([host("10.0.0.1:80"), host("10.0.0.2:80", { weight: 3 })]), 8000);
    const heavy = seen.get("10.0.0.2:80") ?? 0;
    if (weighs) assert.ok(heavy > 5600 && heavy < 6400, `${heavy}`);
    else assert.ok(heavy > 3700 && heavy < 4300, `${heavy}`);
  });

  test(`${name}: what discovery, health checks or outlier detection call unhealthy gets nothing`, () => {
    const failing = host("checked");
    failing.healthFlags = FAILED_ACTIVE_HC;
    const ejected = host("ejected");
    ejected.healthFlags = FAILED_OUTLIER_CHECK;
    const bad = [sick("u", "unhealthy"), sick("d", "draining"), sick("t", "timeout"), failing, ejected];
    assert.deepEqual([...tally(balancer([host("a"), ...bad]), 50)], [["a", 50]]);
    assert.deepEqual([...tally(balancer(bad), 5)], [["none", 5]]);
  });

  test(`${name}: degraded hosts get what healthy ones cannot take`, () => {
    const all = [host("a"), host("b"), sick("weak", "degraded")];
    assert.deepEqual(keys(tally(balancer(all.slice(0, 2).concat(sick("weak", "degraded"))), 300)), ["a", "b", "weak"]);
    // 3 of 4 healthy × 1.4 is above 100 %: the degraded one gets nothing.
    assert.deepEqual(keys(tally(balancer([...all, host("c")]), 300)), ["a", "b", "c"]);
    // Only degraded ones are left.
    assert.deepEqual(keys(tally(balancer([sick("a", "unhealthy"), sick("weak", "degraded")]), 50)), ["weak"]);
  });

  test(`${name}: below the panic threshold every host is used and the choices are counted`, () => {
    const counters: BalancerCounters = balancerCounters();
    const all = [host("a"), sick("b", "unhealthy"), sick("c", "unhealthy"), sick("d", "draining")];
    const seen = tally(balancer(all, { panicThresholdPercent: 50 }, counters), 400);
    assert.deepEqual(keys(seen), ["a", "b", "c", "d"]);
    assert.equal(counters.healthyPanic, 400);
    assert.deepEqual(
      [...tally(balancer(all, { panicThresholdPercent: 50, failTrafficOnPanic: true }), 5)],
      [["none", 5]],
    );
  });

  test(`${name}: a failing priority spills over in proportion`, () => {
    const low = host("p1", { priority: 1 });
    assert.equal(tally(balancer([host("a"), host("b"), low]), 500).get("p1"), undefined);
    // 1 of 2 healthy × 1.4 = 70 %.
    const spilled = tally(balancer([host("a"), sick("b", "unhealthy"), low]), 5000).get("p1") ?? 0;
    assert.ok(spilled > 1350 && spilled < 1650, `${spilled}`);
    assert.equal(tally(balancer([sick("a", "unhealthy"), low]), 100).get("p1"), 100);
  });

  test(`${name}: hosts that do not count yet are left out of the reckoning`, () => {
    const waiting = hosts(5).map((it) => ({ ...it, healthFlags: PENDING_ACTIVE_HC | FAILED_ACTIVE_HC }));
    const leaving = { ...host("leaving"), healthFlags: EXCLUDED_VIA_IMMEDIATE_HC_FAIL | FAILED_ACTIVE_HC };
    const low = host("p1", { priority: 1 });
    const settings = { ignoresNewHosts: true };
    assert.deepEqual(keys(tally(balancer([host("a"), ...waiting, leaving, low], settings), 100)), ["a"]);
    assert.ok(tally(balancer([host("a"), ...waiting, low]), 100).has("p1"));
  });

  test(`${name}: localities share the traffic by their weights`, () => {
    const members = [
      ...hosts(4, { locality: "near" }),
      host("f1", { locality: "far" }),
      host("unweighted", { locality: "x" }),
    ];
    const localities = [
      { name: "near", priority: 0, weight: 1 },
      { name: "far", priority: 0, weight: 3 },
    ];
    const seen = tally(balancer(members, { isLocalityWeighted: true, localities }), 8000);
    const far = seen.get("f1") ?? 0;
    assert.ok(far > 5600 && far < 6400, `${far}`);
    assert.equal(seen.get("unweighted"), undefined);
    // Without any weight localities do not count.
    assert.equal(tally(balancer(members, { isLocalityWeighted: true }), 3000).size, 6);
  });

  test(`${name}: a locality of which too few hosts can be used loses weight`, () => {
    const members = [
      host("10.0.0.1:80", { locality: "near" }),
      ...["10.0.0.2:80", "10.0.0.3:80", "10.0.0.4:80"].map((key) => sick(key, "unhealthy", { locality: "near" })),
      ...["10.0.1.1:80", "10.0.1.2:80", "10.0.1.3:80", "10.0.1.4:80"].map((key) => host(key, { locality: "far" })),
    ];
    const localities = ["near", "far"].map((locality) => ({ name: locality, priority: 0, weight: 1 }));
    const seen = tally(balancer(members, { isLocalityWeighted: true, localities }), 8000);
    // near: 1 of 4 × 1.4 = 0.35 of its weight, so 0.35 / 1.35 of the traffic.
    const near = seen.get("10.0.0.1:80") ?? 0;
    assert.ok(near > 1850 && near < 2300, `${near}`);
  });

  test(`${name}: hosts that were tried are avoided, for as many attempts as are allowed`, () => {
    const [a, b] = [host("10.0.0.1:80"), host("10.0.0.2:80")];
    const both = balancer([a, b]);
    assert.deepEqual([...tally(both, 200, chance(), { excluded: [a], attempts: 60 })], [["10.0.0.2:80", 200]]);
    assert.equal(tally(both, 200, chance(), { excluded: [a], attempts: 0 }).size, 2);
    // There is no other host: the tried one is better than none.
    assert.deepEqual([...tally(balancer([a]), 3, chance(), { excluded: [a], attempts: 5 })], [["10.0.0.1:80", 3]]);
  });

  test(`${name}: a retry looks for a host that is no canary`, () => {
    const canary = host("10.0.0.1:80", { metadata: { canary: true } });
    const both = balancer([canary, host("10.0.0.2:80")]);
    const context = { avoidsCanaries: true, attempts: 60 };
    assert.deepEqual([...tally(both, 100, chance(), context)], [["10.0.0.2:80", 100]]);
    assert.equal(tally(both, 100, chance(), { attempts: 60 }).size, 2);
  });

  test(`${name}: the candidates are the hosts that may be chosen`, () => {
    const members = [host("a"), sick("b", "unhealthy"), host("p1", { priority: 1 }), host("p2", { priority: 2 })];
    const found = balancer(members).candidates(anyHost);
    assert.deepEqual(found.map((it) => it.config.key).sort(), ["a", "p1"]);
    assert.deepEqual(keys(tally(balancer(members), 1000)), ["a", "p1"]);
  });
}
