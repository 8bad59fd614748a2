// Choosing a host is done for every request. This finds the smallest object that is made on the way, a boxed number too.
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import type { BalancingPolicy } from "../../config/load-balancing.ts";
import { leastRequest, maglev, ringHash, roundRobin } from "./testing/hosts.ts";

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
  test(`${name} makes no object per choice`, async (context) => {
    const thread = new Worker(new URL("./testing/choice-bytes.ts", import.meta.url), {
      workerData: { policy, weighs },
    });
    context.after(() => thread.terminate());
    const [bytes] = (await once(thread, "message")) as [number];
    assert.ok(bytes < 12, `${bytes} bytes per choice`);
  });
}
