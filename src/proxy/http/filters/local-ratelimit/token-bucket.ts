// A token bucket that fills continuously, as Envoy's: full at the start, `tokensPerFill` more in each interval.

import { clockSkewMs, type ProcessCell } from "#base/threads/process-cells.ts";

export interface TokenBucketSettings {
  readonly maxTokens: number;
  readonly tokensPerSecond: number;
}

export class TokenBucket {
  readonly settings: TokenBucketSettings;
  #tokens: number;
  #since: number;

  /** Null: this thread has it for itself. */
  readonly #cell: ProcessCell | null;

  constructor(settings: TokenBucketSettings, now: number, cell: ProcessCell | null = null) {
    this.settings = settings;
    this.#tokens = settings.maxTokens;
    this.#since = now;
    this.#cell = cell;
  }

  /** Takes a token, if there is one. */
  take(now: number): boolean {
    this.#fill(now);
    const hasToken = this.#tokens >= 1;
    if (hasToken) this.#tokens--;
    this.#leave();
    return hasToken;
  }

  /** Whole tokens that are left. */
  remaining(now: number): number {
    this.#fill(now);
    this.#leave();
    return Math.floor(this.#tokens);
  }

  /** Seconds until the bucket is full, rounded up. */
  secondsUntilFull(now: number): number {
    this.#fill(now);
    this.#leave();
    const missing = this.settings.maxTokens - this.#tokens;
    return missing <= 0 ? 0 : Math.ceil(missing / this.settings.tokensPerSecond);
  }

  /** Takes what all threads share, until `#leave`. */
  #fill(now: number): void {
    const cell = this.#cell;
    if (cell !== null) {
      cell.lock();
      if (cell.since !== 0) {
        this.#tokens = cell.tokens;
        this.#since = cell.since;
      }
    }
    // A clock that goes backwards takes nothing away, and threads do not read theirs in the same moment.
    if (now > this.#since) {
      const made = ((now - this.#since) * this.settings.tokensPerSecond) / 1000;
      this.#tokens = Math.min(this.settings.maxTokens, this.#tokens + made);
    } else if (cell !== null && now > this.#since - clockSkewMs) return;
    this.#since = now;
  }

  #leave(): void {
    const cell = this.#cell;
    if (cell === null) return;
    cell.tokens = this.#tokens;
    cell.since = this.#since;
    cell.unlock();
  }
}
