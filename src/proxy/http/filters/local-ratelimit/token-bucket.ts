// A token bucket that fills continuously, as Envoy's: full at the start, `tokensPerFill` more in each interval.

export interface TokenBucketSettings {
  readonly maxTokens: number;
  readonly tokensPerSecond: number;
}

export class TokenBucket {
  readonly settings: TokenBucketSettings;
  #tokens: number;
  #since: number;

  constructor(settings: TokenBucketSettings, now: number) {
    this.settings = settings;
    this.#tokens = settings.maxTokens;
    this.#since = now;
  }

  /** Takes a token, if there is one. */
  take(now: number): boolean {
    this.#fill(now);
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }

  /** Whole tokens that are left. */
  remaining(now: number): number {
    this.#fill(now);
    return Math.floor(this.#tokens);
  }

  /** Seconds until the bucket is full, rounded up. */
  secondsUntilFull(now: number): number {
    this.#fill(now);
    const missing = this.settings.maxTokens - this.#tokens;
    return missing <= 0 ? 0 : Math.ceil(missing / this.settings.tokensPerSecond);
  }

  #fill(now: number): void {
    // A clock that goes backwards takes nothing away.
    if (now > this.#since) {
      const made = ((now - this.#since) * this.settings.tokensPerSecond) / 1000;
      this.#tokens = Math.min(this.settings.maxTokens, this.#tokens + made);
    }
    this.#since = now;
  }
}
