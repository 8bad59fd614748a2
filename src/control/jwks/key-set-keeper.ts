// Keeps the keys of all token issuers that the mesh names: fetched when a policy names them first, again every 20 minutes,
// and with back-off while nobody answers. Keys that were there stay in force while the issuer is not reached.
import type { Running } from "#base/lifecycle.ts";
import type { Logger } from "#base/log/log.ts";
import type { CounterSeries, MetricRegistry } from "#base/metrics/registry.ts";
import { Backoff } from "#base/time/backoff.ts";
import type { Clock } from "#base/time/clock.ts";
import { type FetchedKeys, type KeySets, keySourceName } from "#mesh/snapshot/key-sets.ts";
import type { KeySource } from "#mesh/snapshot/snapshot.ts";

export interface KeySetKeeperOptions {
  readonly fetch: (source: KeySource) => Promise<string>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: MetricRegistry;
  /** Called when what is known of a source changed. */
  readonly onChange: () => void;
}

/** Istio's PILOT_JWT_PUB_KEY_REFRESH_INTERVAL. */
const refreshMs = 20 * 60_000;
const firstRetryMs = 1000;
const lastRetryMs = 60_000;

interface Kept {
  readonly source: KeySource;
  readonly backoff: Backoff;
  fetched: FetchedKeys | undefined;
  cancel: () => void;
}

export class KeySetKeeper implements Running {
  readonly #options: KeySetKeeperOptions;
  readonly #kept = new Map<string, Kept>();
  readonly #successes: CounterSeries;
  readonly #failures: CounterSeries;

  constructor(options: KeySetKeeperOptions) {
    const { metrics } = options;
    this.#options = options;
    this.#successes = metrics
      .counter("pilot_jwks_resolver_network_fetch_success_total", "Key sets of token issuers that were fetched.")
      .labels();
    this.#failures = metrics
      .counter("pilot_jwks_resolver_network_fetch_fail_total", "Fetches of key sets that failed.")
      .labels();
  }

  get keySets(): KeySets {
    const known = new Map<string, FetchedKeys>();
    for (const [name, { fetched }] of this.#kept) if (fetched !== undefined) known.set(name, fetched);
    return known;
  }

  /**
   * Fetches what is named for the first time, and forgets what is named no more. Resolves when everything new has
   * answered or failed once; undefined when nothing is new.
   */
  want(sources: readonly KeySource[]): Promise<void> | undefined {
    const names = new Set(sources.map(keySourceName));
    for (const [name, { cancel }] of this.#kept) {
      if (names.has(name)) continue;
      cancel();
      this.#kept.delete(name);
    }
    const added: Promise<void>[] = [];
    for (const source of sources) {
      const name = keySourceName(source);
      if (this.#kept.has(name)) continue;
      const backoff = new Backoff({ initialMs: firstRetryMs, maxMs: lastRetryMs });
      const kept: Kept = { source, backoff, fetched: undefined, cancel: () => {} };
      this.#kept.set(name, kept);
      added.push(this.#fetch(name, kept));
    }
    return added.length === 0 ? undefined : Promise.all(added).then(() => {});
  }

  async stop(): Promise<void> {
    for (const { cancel } of this.#kept.values()) cancel();
    this.#kept.clear();
  }

  #fetch(name: string, kept: Kept): Promise<void> {
    const { fetch, clock, log } = this.#options;
    const { source, backoff } = kept;
    return fetch(source).then(
      (keys) => {
        if (this.#kept.get(name) !== kept) return;
        this.#successes.increment();
        backoff.reset();
        kept.cancel = clock.after(refreshMs, () => this.#fetch(name, kept));
        this.#learn(kept, { keys });
      },
      (error: unknown) => {
        if (this.#kept.get(name) !== kept) return;
        this.#failures.increment();
        const failure = error instanceof Error ? error.message : String(error);
        const retryInMs = Math.round(backoff.next());
        log.warn("the keys of a token issuer cannot be fetched", { url: source.url, reason: failure, retryInMs });
        kept.cancel = clock.after(retryInMs, () => this.#fetch(name, kept));
        const keys = kept.fetched !== undefined && "keys" in kept.fetched ? kept.fetched.keys : undefined;
        this.#learn(kept, keys === undefined ? { failure } : { keys, failure });
      },
    );
  }

  #learn(kept: Kept, fetched: FetchedKeys): void {
    const isSame = JSON.stringify(kept.fetched) === JSON.stringify(fetched);
    kept.fetched = fetched;
    if (!isSame) this.#options.onChange();
  }
}
