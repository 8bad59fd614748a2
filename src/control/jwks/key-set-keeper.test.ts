import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { LogRegistry } from "#base/log/log.ts";
import { MetricRegistry } from "#base/metrics/registry.ts";
import { ManualClock } from "#base/time/clock.ts";
import type { KeySource } from "#mesh/snapshot/snapshot.ts";
import { KeySetKeeper } from "./key-set-keeper.ts";

const source: KeySource = { url: "https://a/keys", kind: "keys", timeoutMs: 5000 };
const name = "keys https://a/keys";

function keeperOf(answers: (string | Error)[]): {
  keeper: KeySetKeeper;
  clock: ManualClock;
  asked: () => number;
  changes: () => number;
} {
  const clock = new ManualClock();
  let asked = 0;
  let changes = 0;
  const keeper = new KeySetKeeper({
    fetch: async () => {
      const answer = answers[Math.min(asked++, answers.length - 1)];
      if (typeof answer === "string") return answer;
      throw answer;
    },
    clock,
    log: new LogRegistry({ level: "none" }).scope("jwks"),
    metrics: new MetricRegistry(),
    onChange: () => changes++,
  });
  return { keeper, clock, asked: () => asked, changes: () => changes };
}

test("keys are fetched when they are wanted first and every 20 minutes; equal keys are no change", async () => {
  const { keeper, clock, asked, changes } = keeperOf(["one", "one", "two"]);
  await keeper.want([source]);
  assert.equal(keeper.want([source]), undefined, "nothing new");
  assert.deepEqual([...keeper.keySets], [[name, { keys: "one" }]]);
  clock.advance(20 * 60_000);
  await turn();
  assert.deepEqual([asked(), changes()], [2, 1]);
  clock.advance(20 * 60_000);
  await turn();
  assert.deepEqual([...keeper.keySets], [[name, { keys: "two" }]]);
  assert.deepEqual([asked(), changes()], [3, 2]);
});

test("a failure is told and tried again with back-off; keys that were there stay", async () => {
  const { keeper, clock, asked } = keeperOf([new Error("answers 500"), "one", new Error("answers 502"), "one"]);
  await keeper.want([source]);
  assert.deepEqual(keeper.keySets.get(name), { failure: "answers 500" });
  clock.advance(1000);
  await turn();
  assert.deepEqual(keeper.keySets.get(name), { keys: "one" });
  clock.advance(20 * 60_000);
  await turn();
  assert.deepEqual(keeper.keySets.get(name), { keys: "one", failure: "answers 502" });
  clock.advance(1000);
  await turn();
  assert.deepEqual(keeper.keySets.get(name), { keys: "one" });
  assert.equal(asked(), 4);
});

test("what is wanted no more is forgotten and not asked again", async () => {
  const { keeper, clock, asked } = keeperOf(["one"]);
  await keeper.want([source]);
  assert.equal(keeper.want([]), undefined);
  assert.equal(keeper.keySets.size, 0);
  clock.advance(60 * 60_000);
  await turn();
  assert.equal(asked(), 1);
});
