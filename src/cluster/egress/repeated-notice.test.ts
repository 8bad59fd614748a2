import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "#base/time/clock.ts";
import { RepeatedNotice } from "./repeated-notice.ts";

test("the same text is told once a minute, another at once", () => {
  const clock = new ManualClock(1_000);
  const notices = new RepeatedNotice(clock);
  assert.deepEqual([notices.isDue("a"), notices.isDue("a"), notices.isDue("b")], [true, false, true]);
  clock.advance(59_999);
  assert.equal(notices.isDue("a"), false);
  clock.advance(1);
  assert.deepEqual([notices.isDue("a"), notices.isDue("a")], [true, false]);
});

test("what is remembered is bounded", () => {
  const notices = new RepeatedNotice(new ManualClock());
  for (let i = 0; i < 300; i++) notices.isDue(String(i));
  assert.deepEqual([notices.isDue("0"), notices.isDue("299")], [true, false]);
});
