// One number for what a peer costs without any use. It decays with time and is paid back by streams that run to their
// end, so a busy peer with some resets stays below every limit that a flood passes at once.

export class AbuseScore {
  readonly #now: () => number;
  readonly #decayPerMs: number;
  #score = 0;
  #since: number;

  constructor(now: () => number, decayPerSecond: number) {
    this.#now = now;
    this.#decayPerMs = decayPerSecond / 1000;
    this.#since = now();
  }

  /** Adds and returns the score. */
  add(cost: number): number {
    const now = this.#now();
    this.#score = Math.max(0, this.#score - (now - this.#since) * this.#decayPerMs) + cost;
    this.#since = now;
    return this.#score;
  }

  payBack(amount: number): void {
    if (this.#score > 0) this.#score = Math.max(0, this.#score - amount);
  }
}
