// How round robin and least request take weights, requests in flight and the age of a host into account.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { BalancingPolicy, SlowStart } from "../../config/load-balancing.ts";
import { balancerCounters } from "./balancer.ts";
import { anyHost } from "./choice.ts";
import { DeadlineScheduler } from "./deadline-scheduler.ts";
import { LoadBalancer } from "./load-balancer.ts";
import { chance, host, hosts, leastRequest, roundRobin, stateOf, type TestHost, tally } from "./testing/hosts.ts";

function balancer(policy: BalancingPolicy, members: TestHost[]) {
  const made = new LoadBalancer<TestHost>(balancerCounters());
  made.update(stateOf(policy, members));
  return made;
}

test("round robin takes turns, beginning at a place that is drawn", () => {
  const made = balancer(roundRobin, [host("a"), host("b"), host("c")]);
  const draws = chance();
  const seen = Array.from({ length: 9 }, () => made.choose(anyHost, draws)?.config.key).join("");
  assert.match(`${seen}`, /^(abcabcabc|bcabcabca|cabcabcab)$/);
  const starts = new Set(
    Array.from({ length: 30 }, (_, i) => balancer(roundRobin, hosts(3)).choose(anyHost, chance(i))?.config.key),
  );
  assert.equal(starts.size, 3);
});

test("weighted turns are spread out: no host waits longer than its weight asks for", () => {
  const made = balancer(roundRobin, [host("heavy", { weight: 4 }), host("light")]);
  const draws = chance();
  const seen = Array.from({ length: 100 }, () => made.choose(anyHost, draws)?.config.key);
  assert.equal(seen.filter((key) => key === "light").length, 20);
  const gaps = seen.flatMap((key, i) => (key === "light" ? [i] : []));
  for (let i = 1; i < gaps.length; i++) assert.ok((gaps[i] ?? 0) - (gaps[i - 1] ?? 0) <= 6);
});

test("the scheduler keeps any weights over any number of items", () => {
  const draws = chance(7);
  const weights = Array.from({ length: 57 }, () => 1 + Math.floor(draws.random() * 20));
  const scheduler = new DeadlineScheduler(weights.length, (i) => weights[i] ?? 1, draws.random);
  const total = weights.reduce((a, b) => a + b, 0);
  const seen = weights.map(() => 0);
  for (let i = 0; i < total * 10; i++) {
    seen[scheduler.first] = (seen[scheduler.first] ?? 0) + 1;
    scheduler.next(weights[scheduler.first] ?? 1);
  }
  weights.forEach((weight, i) => assert.ok(Math.abs((seen[i] ?? 0) - weight * 10) <= 2, `${seen[i]} for ${weight}`));
});

test("least request prefers the host with less in flight", () => {
  const busy = host("busy");
  busy.activeRequests = 10;
  const seen = tally(balancer(leastRequest, [busy, host("free")]), 4000);
  // Only when both draws hit the busy one.
  const part = (seen.get("busy") ?? 0) / 4000;
  assert.ok(part > 0.22 && part < 0.28, `${part}`);
});

test("more choices find the idle host more often, and a full scan always", () => {
  const members = hosts(10);
  for (const it of members.slice(1)) it.activeRequests = 5;
  const idle = members[0]?.config.key ?? "";
  const part = (choiceCount: number): number =>
    (tally(balancer({ ...leastRequest, choiceCount } as BalancingPolicy, members), 4000).get(idle) ?? 0) / 4000;
  assert.ok(Math.abs(part(2) - (1 - 0.9 ** 2)) < 0.03);
  assert.ok(Math.abs(part(5) - (1 - 0.9 ** 5)) < 0.03);
  assert.equal(part(0), 1);
});

test("with unequal weights requests in flight lower a weight: weight / (active + 1) ^ bias", () => {
  const part = (activeRequestBias: number): number => {
    const busy = host("busy", { weight: 3 });
    busy.activeRequests = 3;
    const policy = { ...leastRequest, activeRequestBias } as BalancingPolicy;
    return (tally(balancer(policy, [busy, host("free", { weight: 1 })]), 6000).get("busy") ?? 0) / 6000;
  };
  assert.ok(Math.abs(part(0) - 3 / 4) < 0.01);
  assert.ok(Math.abs(part(1) - 0.75 / 1.75) < 0.01);
  assert.ok(Math.abs(part(2) - 3 / 16 / (3 / 16 + 1)) < 0.01);
});

const warmUp: SlowStart = { windowMs: 60_000, aggression: 1, minimumFactor: 0.1 };

for (const policy of [
  { type: "round_robin", slowStart: warmUp },
  { ...leastRequest, slowStart: warmUp },
] as BalancingPolicy[]) {
  test(`${policy.type}: a host that just came gets more and more, and its whole part after the window`, () => {
    const draws = chance();
    const fresh = host("fresh");
    fresh.usableSince = draws.now;
    const made = balancer(policy, [host("old"), fresh]);
    const part = (ageMs: number): number => {
      draws.now = fresh.usableSince + ageMs;
      return (tally(made, 6000, draws).get("fresh") ?? 0) / 6000;
    };
    assert.ok(Math.abs(part(0) - 0.1 / 1.1) < 0.01);
    assert.ok(Math.abs(part(30_000) - 0.5 / 1.5) < 0.01);
    assert.ok(Math.abs(part(60_000) - 0.5) < 0.03);
  });
}

test("aggression bends the curve of slow start", () => {
  const draws = chance();
  const fresh = host("fresh");
  fresh.usableSince = draws.now - 15_000;
  const slowStart = { ...warmUp, aggression: 2 };
  const seen = tally(balancer({ type: "round_robin", slowStart }, [host("old"), fresh]), 6000, draws);
  // (15 / 60) ^ (1 / 2) = 0.5
  assert.ok(Math.abs((seen.get("fresh") ?? 0) / 6000 - 0.5 / 1.5) < 0.01);
});

test("the health of a priority can be counted in weights", () => {
  const members = [host("big", { weight: 9, health: "unhealthy" }), host("small"), host("p1", { priority: 1 })];
  const made = new LoadBalancer<TestHost>(balancerCounters());
  made.update(stateOf(roundRobin, members, { assignment: { countsWeights: true } }));
  // 1 of 10 × 1.4 = 14 %; counted in hosts it would be 70 %.
  const part = (tally(made, 6000).get("small") ?? 0) / 6000;
  assert.ok(Math.abs(part - 0.14) < 0.02, `${part}`);
});
