// Whatever the hosts are and however their health changes: a host is chosen exactly when there is one that may be, and it
// is one of those that may be.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { BalancingPolicy } from "../../config/load-balancing.ts";
import { balancerCounters } from "./balancer.ts";
import { anyHost, type ChoiceContext } from "./choice.ts";
import { makeBalancer } from "./make-balancer.ts";
import { chance, host, leastRequest, maglev, ringHash, roundRobin, stateOf, type TestHost } from "./testing/hosts.ts";

const slowStart = { windowMs: 60_000, aggression: 1.5, minimumFactor: 0.1 };

const policy = fc.constantFrom<BalancingPolicy>(
  roundRobin,
  { type: "round_robin", slowStart },
  leastRequest,
  { ...leastRequest, choiceCount: 0 } as BalancingPolicy,
  { ...leastRequest, activeRequestBias: 0.5, slowStart } as BalancingPolicy,
  { type: "random" },
  { ...ringHash, minimumSize: 16 },
  { ...ringHash, minimumSize: 16, balanceFactorPercent: 120 },
  { ...maglev, tableSize: 101 },
  { ...maglev, tableSize: 2 },
);

const anyHosts: fc.Arbitrary<TestHost[]> = fc
  .array(
    fc.record({
      weight: fc.integer({ min: 1, max: 1000 }),
      priority: fc.integer({ min: 0, max: 3 }),
      locality: fc.constantFrom("", "r/a", "r/b"),
      flags: fc.constantFrom(0, 0, 0, 0x1, 0x2, 0x4, 0x8, 0x10, 0x41, 0x81, 0x204),
      active: fc.nat(5),
      age: fc.integer({ min: 0, max: 100_000 }),
      version: fc.constantFrom(null, "v1", "v2"),
    }),
    { maxLength: 12 },
  )
  .map((list) =>
    list.map(({ weight, priority, locality, flags, active, age, version }, i) => ({
      ...host(`10.0.0.${i}:80`, { weight, priority, locality, metadata: version === null ? null : { version } }),
      healthFlags: flags,
      activeRequests: active,
      usableSince: 1e9 - age,
    })),
  );

const settings = fc.record({
  panicThresholdPercent: fc.constantFrom(0, 50, 100),
  failTrafficOnPanic: fc.boolean(),
  isLocalityWeighted: fc.boolean(),
  ignoresNewHosts: fc.boolean(),
  localities: fc.constantFrom([], [{ name: "r/a", priority: 0, weight: 3 }]),
  assignment: fc.record({
    overprovisioningPercent: fc.constantFrom(100, 140, 300),
    countsWeights: fc.boolean(),
  }),
  subsets: fc.constantFrom(null, {
    selectors: [{ keys: ["version"], isSingleHost: false, fallback: null, fallbackKeys: [] }],
    fallback: "any_endpoint" as const,
    defaultSubset: {},
    isLocalityWeightAware: true,
    scalesLocalityWeight: true,
    panicModeAny: false,
    listAsAny: false,
    usesFallbackList: false,
    allowsRedundantKeys: false,
  }),
});

const context: fc.Arbitrary<ChoiceContext> = fc
  .record({
    hash: fc.option(
      fc.record({ high: fc.integer({ min: 0, max: 2 ** 32 - 1 }), low: fc.integer({ min: 0, max: 2 ** 32 - 1 }) }),
    ),
    metadataMatch: fc.constantFrom(null, { version: "v1" }, { version: "v9" }, { other: true }),
    avoidsCanaries: fc.boolean(),
    attempts: fc.nat(4),
  })
  .map((it) => ({ ...anyHost, ...it }));

test("a host is chosen exactly when one may be, and it is one of those that may be", () => {
  fc.assert(
    fc.property(policy, anyHosts, settings, context, fc.integer(), (it, members, more, asked, seed) => {
      const state = stateOf(it, members, more);
      const balancer = makeBalancer<TestHost>(state.config, balancerCounters());
      balancer.update(state);
      const candidates = balancer.candidates(asked);
      const draws = chance(seed);
      for (let i = 0; i < 20; i++) {
        const chosen = balancer.choose(asked, draws);
        // A priority that fails in panic fails its part of the traffic.
        if (chosen === null) assert.ok(candidates.length === 0 || more.failTrafficOnPanic);
        else assert.ok(candidates.includes(chosen), `${chosen.config.key} is no candidate`);
        if (chosen !== null) chosen.activeRequests++;
        draws.now += 1000;
      }
    }),
    { numRuns: 1500 },
  );
});
