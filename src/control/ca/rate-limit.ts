// One token bucket per caller, for as many callers as fit in a bounded table.
import { LRUCache } from "lru-cache";
import type { Clock } from "#base/time/clock.ts";

export interface RateLimitSettings {
  readonly burst: number;
  readonly perSecond: number;
  readonly maxCallers?: number;
}

export class RateLimit {
  readonly #settings: RateLimitSettings;
  readonly #clock: Clock;
  readonly #buckets: LRUCache<string, { tokens: number; atMs: number }>;

  constructor(settings: RateLimitSettings, clock: Clock) {
    this.#settings = settings;
    this.#clock = clock;
    this.#buckets = new LRUCache({ max: settings.maxCallers ?? 50_000 });
  }

  /** Takes one token; false when the caller has none left. */
  allow(caller: string): boolean {
    const bucket = this.#bucketOf(caller);
    if (bucket.tokens < 1) return false;
    bucket.tokens -= 1;
    return true;
  }

  /** Whether the next `allow` says no; takes nothing. */
  isExhausted(caller: string): boolean {
    return this.#buckets.has(caller) && this.#bucketOf(caller).tokens < 1;
  }

  #bucketOf(caller: string): { tokens: number; atMs: number } {
    const { burst, perSecond } = this.#settings;
    const now = this.#clock.now();
    const bucket = this.#buckets.get(caller) ?? { tokens: burst, atMs: now };
    bucket.tokens = Math.min(burst, bucket.tokens + (Math.max(0, now - bucket.atMs) / 1000) * perSecond);
    bucket.atMs = now;
    this.#buckets.set(caller, bucket);
    return bucket;
  }
}
