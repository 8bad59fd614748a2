// HOT: per request. Envoy's histograms, which are circllhist: two significant digits, so 90 buckets for each power of
// ten. Values are whole numbers (milliseconds), so that those below 100 have a bucket each. What was recorded is kept
// twice: since the start, and in the last whole interval of five seconds; intervals turn over when somebody looks or
// records, and need no timer.

/** Envoy's `stats_flush_interval`. */
const intervalMs = 5000;
const powers = 9;
const largestIndex = 100 + 90 * powers - 1;

/** Counts by bucket, as plain data that can cross threads. */
export interface HistogramValue {
  readonly total: Uint32Array;
  readonly interval: Uint32Array;
  readonly sum: number;
}

const nothing: Uint32Array = new Uint32Array(0);

export class Histogram {
  #counts: Uint32Array = nothing;
  #sum = 0;
  /** The counts when this interval began, and when the one before it did. */
  #atStart: Uint32Array = nothing;
  #before: Uint32Array = nothing;
  #intervalEnd = 0;

  /** `now` in milliseconds; values below 0 count as 0. */
  record(value: number, now: number): void {
    if (now >= this.#intervalEnd) this.#turnOver(now);
    const index = value < 100 ? (value > 0 ? Math.trunc(value) : 0) : largeIndex(value);
    if (index >= this.#counts.length) this.#counts = resized(this.#counts, roomFor(index));
    this.#counts[index]!++;
    this.#sum += value > 0 ? Math.trunc(value) : 0;
  }

  value(now: number): HistogramValue {
    if (now >= this.#intervalEnd) this.#turnOver(now);
    const interval = this.#atStart.slice();
    for (let i = 0; i < this.#before.length; i++) interval[i]! -= this.#before[i]!;
    return { total: this.#counts.slice(), interval, sum: this.#sum };
  }

  #turnOver(now: number): void {
    const isNext = now < this.#intervalEnd + intervalMs;
    this.#before = isNext ? this.#atStart : this.#counts.slice();
    this.#atStart = this.#counts.slice();
    this.#intervalEnd = (Math.floor(now / intervalMs) + 1) * intervalMs;
  }
}

function largeIndex(value: number): number {
  let width = 10;
  let first = 100;
  for (let power = 0; power < powers; power++, width *= 10, first += 90) {
    if (value < width * 100) return first + Math.floor(value / width) - 10;
  }
  return largestIndex;
}

/** Whole powers of ten at a time. */
function roomFor(index: number): number {
  return index < 100 ? 100 : 100 + 90 * (Math.floor((index - 100) / 90) + 1);
}

function resized(counts: Uint32Array, length: number): Uint32Array {
  const next = new Uint32Array(length);
  next.set(counts);
  return next;
}

/** What several threads recorded under one name. */
export function addedHistograms(a: HistogramValue, b: HistogramValue): HistogramValue {
  return { total: addedCounts(a.total, b.total), interval: addedCounts(a.interval, b.interval), sum: a.sum + b.sum };
}

function addedCounts(a: Uint32Array, b: Uint32Array): Uint32Array {
  const [longer, shorter] = a.length >= b.length ? [a, b] : [b, a];
  const sum = longer.slice();
  for (let i = 0; i < shorter.length; i++) sum[i]! += shorter[i]!;
  return sum;
}

export interface Bucket {
  readonly lowerBound: number;
  readonly width: number;
  readonly count: number;
}

/** The buckets with something in them, lowest first. */
export function bucketsOf(counts: Uint32Array): Bucket[] {
  const buckets: Bucket[] = [];
  counts.forEach((count, index) => {
    if (count > 0) buckets.push({ ...place(index), count });
  });
  return buckets;
}

function place(index: number): Omit<Bucket, "count"> {
  if (index < 10) return { lowerBound: index, width: index === 0 ? 0 : 0.1 };
  if (index < 100) return { lowerBound: index, width: 1 };
  const width = 10 ** (Math.floor((index - 100) / 90) + 1);
  return { lowerBound: (10 + ((index - 100) % 90)) * width, width };
}

export function countOf(counts: Uint32Array): number {
  return counts.reduce((sum, count) => sum + count, 0);
}

/** Values below which these parts of everything lie, in between the bounds of a bucket; NaN where nothing is recorded. */
export function quantilesOf(counts: Uint32Array, parts: readonly number[]): number[] {
  const buckets = bucketsOf(counts);
  const total = countOf(counts);
  if (total === 0) return parts.map(() => Number.NaN);
  let at = 0;
  let below = 0;
  return parts.map((part) => {
    const wanted = total * part;
    while (at < buckets.length - 1 && below + buckets[at]!.count < wanted) below += buckets[at++]!.count;
    const { lowerBound, width, count } = buckets[at]!;
    return lowerBound + width * Math.min(1, (wanted - below) / count);
  });
}

/** How many are at most as large as each bound. */
export function countsBelow(counts: Uint32Array, bounds: readonly number[]): number[] {
  const buckets = bucketsOf(counts);
  return bounds.map((bound) => {
    let sum = 0;
    for (const { lowerBound, width, count } of buckets) {
      if (lowerBound < bound || (lowerBound === bound && width <= 1)) sum += count;
    }
    return sum;
  });
}
