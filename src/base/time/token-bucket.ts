// A token bucket that fills in steps, as Envoy's local rate limits do: so many tokens at each interval, up to a maximum.
// It has no timer: what was filled meanwhile is reckoned when somebody takes.

import type { ProcessCell } from "../threads/process-cells.ts";

export interface StepBucketSettings {
  readonly maxTokens: number;
  readonly tokensPerFill: number;
  readonly fillIntervalMs: number;
}

export class TokenBucket {
  readonly #maxTokens: number;
  readonly #tokensPerFill: number;
  readonly #fillIntervalMs: number;
  #tokens: number;
  #filledAtMs: number;

  /** Null: this thread has it for itself. */
  readonly #cell: ProcessCell | null;

  /** Begins full. */
  constructor(
    { maxTokens, tokensPerFill, fillIntervalMs }: StepBucketSettings,
    nowMs: number,
    cell: ProcessCell | null = null,
  ) {
    this.#cell = cell;
    this.#maxTokens = maxTokens;
    this.#tokensPerFill = tokensPerFill;
    this.#fillIntervalMs = fillIntervalMs;
    this.#tokens = maxTokens;
    this.#filledAtMs = nowMs;
  }

  /** Takes a token; false when there is none. */
  take(nowMs: number): boolean {
    this.#fill(nowMs);
    const hasToken = this.#tokens >= 1;
    if (hasToken) this.#tokens--;
    this.#leave();
    return hasToken;
  }

  /** Tokens that are there now. */
  remaining(nowMs: number): number {
    this.#fill(nowMs);
    this.#leave();
    return this.#tokens;
  }

  /** How long until the next fill. */
  untilFillMs(nowMs: number): number {
    this.#fill(nowMs);
    this.#leave();
    return this.#filledAtMs + this.#fillIntervalMs - nowMs;
  }

  /** Takes what all threads share, until `#leave`. */
  #fill(nowMs: number): void {
    const cell = this.#cell;
    if (cell !== null) {
      cell.lock();
      if (cell.since !== 0) {
        this.#tokens = cell.tokens;
        this.#filledAtMs = cell.since;
      }
    }
    const fills = Math.floor((nowMs - this.#filledAtMs) / this.#fillIntervalMs);
    if (fills <= 0) return;
    this.#filledAtMs += fills * this.#fillIntervalMs;
    this.#tokens = Math.min(this.#maxTokens, this.#tokens + fills * this.#tokensPerFill);
  }

  #leave(): void {
    const cell = this.#cell;
    if (cell === null) return;
    cell.tokens = this.#tokens;
    cell.since = this.#filledAtMs;
    cell.unlock();
  }
}
