import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "#base/time/clock.ts";
import { Stats } from "../stats/stats.ts";
import { EventLoop } from "../transport/event-loop.ts";
import { ReportBuffer } from "./report-buffer.ts";

const names = {
  sent: "t.spans_sent",
  failed: "t.reports_failed",
  dropped: "t.spans_dropped",
  timerFlushed: "t.timer_flushed",
};

function setup() {
  const clock = new ManualClock();
  const loop = new EventLoop({ clock });
  const stats = new Stats();
  const batches: { size: number; done: (isAccepted: boolean) => void }[] = [];
  const buffer = new ReportBuffer<number>(
    loop,
    stats,
    names,
    5000,
    (batch, done) => void batches.push({ size: batch.length, done }),
  );
  const stat = (name: string): number => stats.values().find((it) => it.name === `t.${name}`)?.value ?? -1;
  return { clock, batches, buffer, stat };
}

test("few spans wait for the interval, many go at once", () => {
  const { clock, batches, buffer, stat } = setup();
  buffer.add(1);
  clock.advance(4999);
  assert.equal(batches.length, 0);
  clock.advance(1);
  assert.equal(batches[0]?.size, 1);
  batches[0]?.done(true);
  for (let i = 0; i < 7; i++) buffer.add(i);
  clock.advance(0);
  assert.equal(batches[1]?.size, 7);
  batches[1]?.done(false);
  assert.deepEqual([stat("spans_sent"), stat("reports_failed"), stat("timer_flushed")], [1, 1, 1]);
});

test("one batch is on its way at a time, and so many spans are kept at most", () => {
  const { clock, batches, buffer, stat } = setup();
  for (let i = 0; i < 5; i++) buffer.add(i);
  clock.advance(0);
  for (let i = 0; i < 5000; i++) buffer.add(i);
  clock.advance(10_000);
  assert.equal(batches.length, 1);
  assert.equal(stat("spans_dropped"), 5000 - 4096);
  let sent = 5;
  for (let i = 0; i < batches.length; i++) {
    batches[i]?.done(true);
    sent += batches[i + 1]?.size ?? 0;
    assert.ok((batches[i + 1]?.size ?? 0) <= 512);
  }
  assert.equal(sent, 5 + 4096);
  assert.equal(stat("spans_sent"), sent);
});

test("emptied sends what waits, batch after batch, and resolves when the last one was answered", async () => {
  const { batches, buffer, stat } = setup();
  await buffer.emptied();
  for (let i = 0; i < 600; i++) buffer.add(i);
  let isEmpty = false;
  const emptied = buffer.emptied().then(() => (isEmpty = true));
  assert.deepEqual(
    batches.map(({ size }) => size),
    [512],
  );
  batches[0]?.done(true);
  assert.deepEqual(
    batches.map(({ size }) => size),
    [512, 88],
  );
  buffer.add(600);
  batches[1]?.done(false);
  assert.equal(isEmpty, false);
  batches[2]?.done(true);
  await emptied;
  assert.deepEqual([stat("spans_sent"), stat("reports_failed")], [513, 1]);
});
