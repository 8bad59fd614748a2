import assert from "node:assert/strict";
import { test } from "node:test";
import { ProcessCells, processCellsMemory } from "#base/threads/process-cells.ts";
import { ByteBudget } from "./throttle.ts";

test("a budget of the process is spent by all threads together", () => {
  const memory = processCellsMemory(2);
  const budget = (thread: number): ByteBudget =>
    new ByteBudget(100, 50, 1000, new ProcessCells(memory, thread).claim("budget"));
  const [first, second] = [budget(0), budget(1)];
  assert.equal(first.take(4000, 1000), 4000);
  assert.equal(second.take(4000, 1000), 1120, "what the first has left of 5120");
  assert.equal(second.take(4000, 999), 0, "a clock that is a little behind makes nothing");
  assert.equal(first.take(4000, 1010), 1024);
  assert.equal(second.take(1_000_000, 60_000), 102_400, "one second's at most");
});
