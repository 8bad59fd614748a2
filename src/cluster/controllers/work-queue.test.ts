import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "#base/time/clock.ts";
import { WorkQueue } from "./work-queue.ts";

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));

test("a key is worked on once at a time, and again when it was added meanwhile", async () => {
  let running = 0;
  let runs = 0;
  let release = (): void => {};
  const queue = new WorkQueue({
    clock: new ManualClock(),
    onError: () => {},
    reconcile: async () => {
      assert.equal(++running, 1);
      runs++;
      await new Promise<void>((resolve) => {
        release = resolve;
      });
      running--;
    },
  });
  for (let index = 0; index < 5; index++) queue.add("a");
  await turn();
  assert.equal(runs, 1);
  queue.add("a");
  await turn();
  assert.equal(runs, 1);
  release();
  await turn();
  assert.equal(runs, 2);
  queue.stop();
});

test("what fails is tried again after growing delays, and at once when asked", async () => {
  const clock = new ManualClock();
  let runs = 0;
  const errors: string[] = [];
  const queue = new WorkQueue({
    clock,
    onError: (key) => errors.push(key),
    reconcile: () => {
      runs++;
      throw new Error("no");
    },
  });
  queue.add("a");
  await turn();
  assert.equal(runs, 1);
  clock.advance(24);
  await turn();
  assert.equal(runs, 1, "not before half of the first delay");
  clock.advance(26);
  await turn();
  assert.equal(runs, 2);
  queue.retryFailed();
  await turn();
  assert.equal(runs, 3);
  assert.deepEqual(errors, ["a", "a", "a"]);
  queue.stop();
});

test("of several delays the shortest counts", async () => {
  const clock = new ManualClock();
  const seen: number[] = [];
  const queue = new WorkQueue({ clock, onError: () => {}, reconcile: () => void seen.push(clock.now()) });
  queue.addAfter("a", 1000);
  queue.addAfter("a", 100);
  queue.addAfter("a", 500);
  clock.advance(100);
  await turn();
  clock.advance(2000);
  await turn();
  assert.deepEqual(seen, [100]);
  queue.stop();
});
