// A token bucket that fills in steps, as Envoy's local rate limits do: so many tokens at each interval, up to a maximum.
// It has no timer: what was filled meanwhile is reckoned when somebody takes.

export class TokenBucket {
  readonly #maxTokens: number;
  readonly #tokensPerFill: number;
  readonly #fillIntervalMs: number;
  #tokens: number;
  #filledAtMs: number;

  /** Begins full. */
  constructor(maxTokens: number, tokensPerFill: number, fillIntervalMs: number, nowMs: number) {
    this.#maxTokens = maxTokens;
    this.#tokensPerFill = tokensPerFill;
    this.#fillIntervalMs = fillIntervalMs;
    this.#tokens = maxTokens;
    this.#filledAtMs = nowMs;
  }

  /** Takes a token; false when there is none. */
  take(nowMs: number): boolean {
    this.#fill(nowMs);
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }

  /** Tokens that are there now. */
  remaining(nowMs: number): number {
    this.#fill(nowMs);
    return this.#tokens;
  }

  /** How long until the next fill. */
  untilFillMs(nowMs: number): number {
    this.#fill(nowMs);
    return this.#filledAtMs + this.#fillIntervalMs - nowMs;
  }

  #fill(nowMs: number): void {
    const fills = Math.floor((nowMs - this.#filledAtMs) / this.#fillIntervalMs);
    if (fills <= 0) return;
    this.#filledAtMs += fills * this.#fillIntervalMs;
    this.#tokens = Math.min(this.#maxTokens, this.#tokens + fills * this.#tokensPerFill);
  }
}
