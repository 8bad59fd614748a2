import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "#base/time/clock.ts";
import { StreamAdmission } from "./stream-admission.ts";

test("streams beyond the rate wait for their turn, and those beyond the patience are refused", async () => {
  const clock = new ManualClock();
  const admission = new StreamAdmission(clock, 10, 500);
  const answers: boolean[] = [];
  for (let stream = 0; stream < 20; stream++) void admission.admit().then((answer) => answers.push(answer));
  const settle = async (): Promise<void> => {
    for (let turn = 0; turn < 20; turn++) await Promise.resolve();
  };
  await settle();
  const counts = (): [number, number] => [
    answers.filter((answer) => answer).length,
    answers.filter((answer) => !answer).length,
  ];
  assert.deepEqual(counts(), [10, 5]);
  clock.advance(300);
  await settle();
  assert.deepEqual(counts(), [13, 5]);
  clock.advance(10_000);
  await settle();
  assert.deepEqual(counts(), [15, 5]);
});
