// HOT: per request. The token buckets of one settings object: shared by all streams, or one set per connection.
import type { ProcessCell, ProcessCells } from "#base/threads/process-cells.ts";
import type { RateLimitDescriptor } from "../../../config/rate-limit.ts";
import type { Counter, Stats } from "../../../stats/stats.ts";
import type { ConnectionInfo } from "../../../transport/connection-info.ts";
import { descriptorKey, type LocalRateLimitSettings } from "./settings.ts";
import { TokenBucket } from "./token-bucket.ts";

export interface Bucket {
  readonly tokens: TokenBucket;
  /** Of a descriptor; empty for the bucket of all requests. */
  readonly words: string;
}

interface NamedCells {
  readonly cells: ProcessCells;
  readonly name: string;
}

interface BucketVerdict {
  readonly isAllowed: boolean;
  /** The bucket that decided; null: none had to say anything. */
  readonly bucket: Bucket | null;
}

interface LocalRateLimitStats {
  readonly enabled: Counter;
  readonly ok: Counter;
  readonly rateLimited: Counter;
  readonly enforced: Counter;
}

export class Buckets {
  readonly stats: LocalRateLimitStats;
  readonly #settings: LocalRateLimitSettings;
  #shared: BucketSet | null = null;
  readonly #cells: NamedCells | null;
  readonly #byConnection = new WeakMap<ConnectionInfo, BucketSet>();

  /** `cells`: those of the process, under the name of these settings; null with one thread. */
  constructor(settings: LocalRateLimitSettings, stats: Stats, cells: NamedCells | null) {
    this.#cells = cells;
    const prefix = `${settings.statPrefix}.http_local_rate_limit.`;
    this.#settings = settings;
    this.stats = {
      enabled: stats.counter(`${prefix}enabled`),
      ok: stats.counter(`${prefix}ok`),
      rateLimited: stats.counter(`${prefix}rate_limited`),
      enforced: stats.counter(`${prefix}enforced`),
    };
  }

  of(connection: ConnectionInfo, now: number): BucketSet {
    if (!this.#settings.perConnection) {
      this.#shared ??= new BucketSet(this.#settings, now, this.#cells);
      return this.#shared;
    }
    let set = this.#byConnection.get(connection);
    if (set === undefined) {
      set = new BucketSet(this.#settings, now, null);
      this.#byConnection.set(connection, set);
    }
    return set;
  }
}

class BucketSet {
  readonly #default: Bucket | null;
  readonly #byDescriptor: ReadonlyMap<string, Bucket>;
  readonly #alwaysTakesDefault: boolean;

  constructor(
    { bucket, descriptors, alwaysTakesDefault }: LocalRateLimitSettings,
    now: number,
    cells: NamedCells | null,
  ) {
    const cell = (name: string): ProcessCell | null => cells?.cells.claim(`${cells.name}\n${name}`) ?? null;
    this.#default = bucket === null ? null : { tokens: new TokenBucket(bucket, now, cell("")), words: "" };
    this.#byDescriptor = new Map(
      descriptors.map(({ key, words, bucket: own }) => [key, { tokens: new TokenBucket(own, now, cell(key)), words }]),
    );
    this.#alwaysTakesDefault = alwaysTakesDefault;
  }

  /** Takes a token from the bucket of each descriptor, the slowest first, and then from the one of all requests. */
  take(descriptors: readonly RateLimitDescriptor[], now: number): BucketVerdict {
    const matched = this.#matched(descriptors);
    for (const bucket of matched) if (!bucket.tokens.take(now)) return { isAllowed: false, bucket };
    const first = matched[0];
    if (this.#default === null) return { isAllowed: true, bucket: first ?? null };
    if (first !== undefined && !this.#alwaysTakesDefault) return { isAllowed: true, bucket: first };
    if (!this.#default.tokens.take(now)) return { isAllowed: false, bucket: this.#default };
    return { isAllowed: true, bucket: first ?? this.#default };
  }

  #matched(descriptors: readonly RateLimitDescriptor[]): readonly Bucket[] {
    if (descriptors.length === 0) return noBuckets;
    const matched = descriptors.flatMap(({ entries }) => this.#byDescriptor.get(descriptorKey(entries)) ?? []);
    if (matched.length > 1) {
      matched.sort((a, b) => a.tokens.settings.tokensPerSecond - b.tokens.settings.tokensPerSecond);
    }
    return matched;
  }
}

const noBuckets: readonly Bucket[] = [];
