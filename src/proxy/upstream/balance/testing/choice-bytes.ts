// A thread that chooses hosts by one policy, again and again, and reports how many bytes a choice takes. A thread of its
// own, because code that has seen other policies is compiled in another way in every run: what it was compiled for is
// collected, the code with it, and what comes after may put numbers into boxes.
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { parentPort, workerData } from "node:worker_threads";
import type { BalancingPolicy } from "../../../config/load-balancing.ts";
import { balancerCounters } from "../balancer.ts";
import { anyHost, type ChoiceContext } from "../choice.ts";
import { makeBalancer } from "../make-balancer.ts";
import { hosts, stateOf, type TestHost } from "./hosts.ts";

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

const { policy, weighs } = workerData as { readonly policy: BalancingPolicy; readonly weighs: boolean };
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

function run(count: number): void {
  for (let i = 0; i < count; i++) balancer.choose(contexts[i & 63] ?? anyHost, chance);
}

function bytesPerChoice(): number {
  collectGarbage();
  const before = process.memoryUsage().heapUsed;
  run(200_000);
  return (process.memoryUsage().heapUsed - before) / 200_000;
}

run(500_000);
// The compiler takes memory too while it still learns: the best round shows what the code itself does.
parentPort?.postMessage(Math.min(...Array.from({ length: 8 }, bytesPerChoice)));
