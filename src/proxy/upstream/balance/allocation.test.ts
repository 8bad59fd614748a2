// Choosing a host is done for every request. This finds lists and contexts made on the way; one small object would stay
// below the bound, for numbers that the compiler boxes take as much.
import assert from "node:assert/strict";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { BalancingPolicy } from "../../config/load-balancing.ts";
import { balancerCounters } from "./balancer.ts";
import { anyHost, type ChoiceContext } from "./choice.ts";
import { makeBalancer } from "./make-balancer.ts";
import { hosts, leastRequest, maglev, ringHash, roundRobin, stateOf, type TestHost } from "./testing/hosts.ts";

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

const policies: readonly (readonly [string, BalancingPolicy, boolean])[] = [
  ["round robin", roundRobin, false],
  ["weighted round robin", roundRobin, true],
  ["least request", leastRequest, false],
  ["weighted least request", leastRequest, true],
  ["random", { type: "random" }, false],
  ["ring hash", ringHash, false],
  ["maglev", maglev, false],
  ["maglev with bounded loads", { ...maglev, balanceFactorPercent: 150 }, false],
];

for (const [name, policy, weighs] of policies) {
  test(`${name} makes no list and no context per choice`, () => {
    const members = hosts(1000).map((it, i) => ({
      ...it,
      config: { ...it.config, weight: weighs ? 1 + (i % 5) : 1 },
    }));
    const balancer = makeBalancer<TestHost>(stateOf(policy, members).config, balancerCounters());
    balancer.update(stateOf(policy, members));
    const chance = { now: 1, random: Math.random };
    const contexts: ChoiceContext[] = Array.from({ length: 64 }, (_, i) => ({
      ...anyHost,
      hash: { high: Math.imul(i, 0x9e3779b1) >>> 0, low: i },
    }));
    const run = (count: number): void => {
      for (let i = 0; i < count; i++) balancer.choose(contexts[i & 63] ?? anyHost, chance);
    };
    // The compiler takes memory too while it still learns: the best round shows what the code itself does.
    const round = (): number => {
      collectGarbage();
      const before = process.memoryUsage().heapUsed;
      run(200_000);
      return (process.memoryUsage().heapUsed - before) / 200_000;
    };
    run(500_000);
    const bytes = Math.min(...Array.from({ length: 8 }, round));
    // Before it is compiled, code puts some numbers in boxes of 16 bytes; a list or a context takes far more.
    assert.ok(bytes < 128, `${bytes} bytes per choice`);
  });
}
