// Jittered exponential back-off, shared by everything that reconnects or restarts.

export interface BackoffSettings {
  readonly initialMs: number;
  readonly maxMs: number;
  readonly random?: () => number;
}

export class Backoff {
  readonly #settings: BackoffSettings;
  #attempt = 0;

  constructor(settings: BackoffSettings) {
    this.#settings = settings;
  }

  /** The next delay: between half of and the whole of initial × 2^attempt, capped. */
  next(): number {
    const { initialMs, maxMs, random = Math.random } = this.#settings;
    const ceiling = Math.min(maxMs, initialMs * 2 ** this.#attempt);
    this.#attempt = Math.min(this.#attempt + 1, 30);
    return ceiling / 2 + (ceiling / 2) * random();
  }

  reset(): void {
    this.#attempt = 0;
  }
}
