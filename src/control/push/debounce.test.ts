import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "#base/time/clock.ts";
import { Debounce } from "./debounce.ts";

const settings = { quietMs: 100, urgentQuietMs: 10, maxMs: 1000 };

test("changes go out together once it is quiet, and urgent ones alone sooner", () => {
  const clock = new ManualClock();
  const fired: string[] = [];
  const debounce = new Debounce<string>(settings, clock, (items) => fired.push(items.join("")));
  debounce.add(["a"], false);
  clock.advance(60);
  debounce.add(["b"], true);
  clock.advance(60);
  assert.deepEqual(fired, [], "an urgent change does not hurry a patient one");
  clock.advance(40);
  assert.deepEqual(fired, ["ab"]);
  debounce.add(["c"], true);
  clock.advance(10);
  assert.deepEqual(fired, ["ab", "c"]);
});

test("a steady stream of changes waits no longer than the maximum", () => {
  const clock = new ManualClock();
  const fired: number[] = [];
  const debounce = new Debounce<number>(settings, clock, (_items, waitedMs) => fired.push(waitedMs));
  for (let count = 0; count < 25; count++) {
    debounce.add([count], false);
    clock.advance(50);
  }
  assert.deepEqual(fired, [1000]);
});
