import assert from "node:assert/strict";
import { test } from "node:test";
import { type Clock, ManualClock } from "#base/time/clock.ts";
import { Debounce } from "./debounce.ts";

const settings = { quietMs: 100, urgentQuietMs: 10, maxMs: 1000 };

test("changes go out together once it is quiet, and urgent ones alone sooner", () => {
  const clock = new ManualClock();
  const fired: string[] = [];
  const debounce = new Debounce<string>(settings, clock, (items) => void fired.push(items.join("")));
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
  const debounce = new Debounce<number>(settings, clock, (_items, waitedMs) => void fired.push(waitedMs));
  for (let count = 0; count < 25; count++) {
    debounce.add([count], false);
    clock.advance(50);
  }
  assert.deepEqual(fired, [1000]);
});

test("what takes long is done less often, and nothing is lost meanwhile", () => {
  const clock = new ManualClock();
  const fired: string[] = [];
  let workMs = 0;
  const withWork: Clock = { now: () => clock.now() + workMs, after: (delay, call) => clock.after(delay, call) };
  const debounce = new Debounce<string>(settings, withWork, (items) => {
    fired.push(items.join(""));
    workMs += 50;
    return undefined;
  });
  debounce.add(["a"], true);
  clock.advance(10);
  assert.deepEqual(fired, ["a"]);
  debounce.add(["b"], true);
  clock.advance(12);
  debounce.add(["c"], true);
  clock.advance(12);
  assert.deepEqual(fired, ["a"], "half as long as the last one took");
  clock.advance(1);
  assert.deepEqual(fired, ["a", "bc"]);
  clock.advance(500);
  debounce.add(["d"], true);
  clock.advance(10);
  assert.deepEqual(fired, ["a", "bc", "d"]);
});

test("work that goes on is waited for, and then it rests half as long as that took", async () => {
  const clock = new ManualClock();
  const fired: string[] = [];
  const works: PromiseWithResolvers<void>[] = [];
  const debounce = new Debounce<string>(settings, clock, (items) => {
    fired.push(items.join(""));
    const work = Promise.withResolvers<void>();
    works.push(work);
    return work.promise;
  });
  debounce.add(["a"], true);
  clock.advance(10);
  debounce.add(["b"], true);
  clock.advance(300);
  debounce.add(["c"], true);
  assert.deepEqual(fired, ["a"]);
  works[0]?.resolve();
  await works[0]?.promise;
  clock.advance(149);
  assert.deepEqual(fired, ["a"]);
  clock.advance(1);
  assert.deepEqual(fired, ["a", "bc"]);
  works[1]?.resolve();
  await works[1]?.promise;
  clock.advance(50);
  debounce.add(["d"], true);
  clock.advance(10);
  assert.deepEqual(fired, ["a", "bc", "d"], "what was quick is not waited for");
});
