import assert from "node:assert/strict";
import { test } from "node:test";
import { addedHistograms, bucketsOf, countOf, countsBelow, Histogram, quantilesOf } from "./histogram.ts";

function recorded(values: readonly number[], now = 1000): Histogram {
  const histogram = new Histogram();
  for (const value of values) histogram.record(value, now);
  return histogram;
}

test("values have two significant digits, and whole numbers below 100 a bucket each", () => {
  const { total, sum } = recorded([0, -3, 1, 9.7, 99, 100, 109, 110, 123_456, 1e15]).value(1000);
  assert.deepEqual(
    bucketsOf(total).map(({ lowerBound, count }) => [lowerBound, count]),
    [
      [0, 2],
      [1, 1],
      [9, 1],
      [99, 1],
      [100, 2],
      [110, 1],
      [120_000, 1],
      [99_000_000_000, 1],
    ],
  );
  assert.equal(sum, 0 + 1 + 9 + 99 + 100 + 109 + 110 + 123_456 + 1e15);
});

test("every bucket begins where the one before ends", () => {
  const { total } = recorded(Array.from({ length: 2000 }, (_, i) => i)).value(1000);
  const buckets = bucketsOf(total);
  assert.equal(countOf(total), 2000);
  for (const [i, { lowerBound, width, count }] of buckets.entries()) {
    if (lowerBound < 100) continue;
    assert.equal(count, width);
    assert.equal(buckets[i + 1]?.lowerBound ?? 2000, lowerBound + width);
  }
});

test("quantiles lie between the bounds of a bucket, as circllhist computes them", () => {
  const { total } = recorded([1, 2, 2, 3, 200]).value(1000);
  assert.deepEqual(quantilesOf(total, [0, 0.2, 0.4, 0.6, 1]), [1, 1.1, 2.05, 2.1, 210]);
  assert.deepEqual(quantilesOf(new Uint32Array(0), [0, 1]), [Number.NaN, Number.NaN]);
});

test("counts below a bound take in the bound itself", () => {
  const { total } = recorded([0, 1, 5, 10, 255, 260]).value(1000);
  assert.deepEqual(countsBelow(total, [0.5, 1, 5, 10, 250, 260, 1000]), [1, 2, 3, 4, 4, 5, 6]);
});

test("the last whole interval is told apart from everything", () => {
  const histogram = new Histogram();
  histogram.record(1, 1000);
  histogram.record(2, 4000);
  const count = (now: number): number[] => {
    const { interval, total } = histogram.value(now);
    return [countOf(interval), countOf(total)];
  };
  assert.deepEqual(count(4999), [0, 2], "the interval has not ended");
  assert.deepEqual(count(5000), [2, 2]);
  histogram.record(3, 6000);
  assert.deepEqual(count(10_000), [1, 3]);
  assert.deepEqual(count(15_000), [0, 3]);
  histogram.record(4, 16_000);
  assert.deepEqual(count(60_000), [0, 4], "an interval without a look at its end is over");
});

test("histograms of several threads are added", () => {
  const sum = addedHistograms(recorded([1, 1000]).value(6000), recorded([1, 2]).value(6000));
  assert.deepEqual(
    bucketsOf(sum.total).map(({ lowerBound, count }) => [lowerBound, count]),
    [
      [1, 2],
      [2, 1],
      [1000, 1],
    ],
  );
  assert.deepEqual([countOf(sum.interval), sum.sum], [4, 1004]);
});
