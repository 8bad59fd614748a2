// HOT: per request where weights differ; bench/load-balancer.ts. Earliest deadline first: an item comes up again after
// 1 / weight, so that items take turns in proportion to their weights. A binary heap over typed arrays: picking is
// O(log n) and allocates nothing.
export class DeadlineScheduler {
  readonly #deadlines: Float64Array;
  /** A heap of item numbers, the earliest deadline first. */
  readonly #heap: Int32Array;

  /** Items begin at random places of their first turn: many proxies that start together do not move in step. */
  constructor(count: number, weightOf: (item: number) => number, random: () => number) {
    this.#deadlines = new Float64Array(count);
    this.#heap = new Int32Array(count);
    for (let item = 0; item < count; item++) {
      this.#deadlines[item] = random() / weightOf(item);
      this.#heap[item] = item;
    }
    for (let at = (count >> 1) - 1; at >= 0; at--) this.#sink(at);
  }

  /** The item whose turn it is. */
  get first(): number {
    return this.#heap[0]!;
  }

  /** Ends the turn of the first item. */
  next(weight: number): void {
    const item = this.#heap[0]!;
    this.#deadlines[item]! += 1 / weight;
    this.#sink(0);
  }

  #sink(start: number): void {
    const heap = this.#heap;
    const deadlines = this.#deadlines;
    const count = heap.length;
    const item = heap[start]!;
    const deadline = deadlines[item]!;
    let at = start;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= count) break;
      if (child + 1 < count && deadlines[heap[child + 1]!]! < deadlines[heap[child]!]!) child++;
      if (deadlines[heap[child]!]! >= deadline) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = item;
  }
}
