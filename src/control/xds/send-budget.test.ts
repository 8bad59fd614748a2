import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "#base/time/clock.ts";
import { SendBudget } from "./send-budget.ts";

test("streams wait for room in their order, and a client that does not read is not waited for", () => {
  const clock = new ManualClock();
  const budget = new SendBudget(clock, 100);
  const order: string[] = [];
  const stream =
    (name: string): (() => void) =>
    () => {
      order.push(name);
      budget.spend(60);
    };
  const first = budget.spend(60);
  budget.spend(60);
  const [a, b, gone] = [stream("a"), stream("b"), stream("gone")];
  for (const one of [gone, a, b]) assert.equal(budget.admits(one), false);
  budget.forget(gone);
  first();
  first();
  assert.deepEqual(order, ["a"]);
  clock.advance(2000);
  assert.deepEqual(order, ["a", "b"]);
  assert.equal(budget.admits(a), true);
});
