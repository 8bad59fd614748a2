// Keeps the addresses of the host names that gateways to other networks have: asked when a name comes up first, again when
// the answer is out of date, and with back-off while there is none. Addresses that were there stay meanwhile.
import { describeError } from "#base/error.ts";
import type { Running } from "#base/lifecycle.ts";
import type { Logger } from "#base/log/log.ts";
import { Backoff } from "#base/time/backoff.ts";
import type { Clock } from "#base/time/clock.ts";
import type { HostAddresses, ResolvedHost } from "#mesh/snapshot/networks.ts";
import type { ResolveHost } from "./resolve-host.ts";

export interface HostKeeperOptions {
  readonly resolve: ResolveHost;
  readonly clock: Clock;
  readonly log: Logger;
  /** Called when what is known of a name changed. */
  readonly onChange: () => void;
}

/** Answers hold as long as the name servers say, within these. */
const shortestMs = 5000;
const longestMs = 60_000;
const firstRetryMs = 1000;

interface Kept {
  readonly backoff: Backoff;
  resolved: ResolvedHost | undefined;
  cancel: () => void;
}

export class HostKeeper implements Running {
  readonly #options: HostKeeperOptions;
  readonly #kept = new Map<string, Kept>();

  constructor(options: HostKeeperOptions) {
    this.#options = options;
  }

  get addresses(): HostAddresses {
    const known = new Map<string, ResolvedHost>();
    for (const [name, { resolved }] of this.#kept) if (resolved !== undefined) known.set(name, resolved);
    return known;
  }

  /**
   * Asks for names that are new, and forgets those that are wanted no more. Resolves when everything new was answered or failed
   * once; undefined when nothing is new.
   */
  want(names: readonly string[]): Promise<void> | undefined {
    for (const [name, { cancel }] of this.#kept) {
      if (names.includes(name)) continue;
      cancel();
      this.#kept.delete(name);
    }
    const added = names.flatMap((name) => {
      if (this.#kept.has(name)) return [];
      const backoff = new Backoff({ initialMs: firstRetryMs, maxMs: longestMs });
      const kept: Kept = { backoff, resolved: undefined, cancel: () => {} };
      this.#kept.set(name, kept);
      return [this.#ask(name, kept)];
    });
    return added.length === 0 ? undefined : Promise.all(added).then(() => {});
  }

  async stop(): Promise<void> {
    for (const { cancel } of this.#kept.values()) cancel();
    this.#kept.clear();
  }

  async #ask(name: string, kept: Kept): Promise<void> {
    const { resolve, clock, log } = this.#options;
    const again = (delayMs: number): void => {
      kept.cancel = clock.after(delayMs, () => void this.#ask(name, kept));
    };
    try {
      const { addresses, ttlMs = longestMs } = await resolve(name);
      if (this.#kept.get(name) !== kept) return;
      kept.backoff.reset();
      again(Math.min(longestMs, Math.max(shortestMs, ttlMs)));
      this.#learn(kept, { addresses: [...new Set(addresses)].sort() });
    } catch (error) {
      if (this.#kept.get(name) !== kept) return;
      const failure = describeError(error);
      const retryInMs = Math.round(kept.backoff.next());
      log.warn("the name of a gateway to another network is not resolved", { name, reason: failure, retryInMs });
      again(retryInMs);
      this.#learn(kept, { addresses: kept.resolved?.addresses ?? [], failure });
    }
  }

  #learn(kept: Kept, resolved: ResolvedHost): void {
    const isSame = JSON.stringify(kept.resolved) === JSON.stringify(resolved);
    kept.resolved = resolved;
    if (!isSame) this.#options.onChange();
  }
}
