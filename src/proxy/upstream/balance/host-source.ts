// HOT: per request; bench/load-balancer.ts. Hosts among which a policy picks: all of them together, or first a locality by
// its weight and then one of its hosts. What picking needs is made when it is first asked for.
import type { Hash64 } from "#base/hash/hash64.ts";
import type { BalancingPolicy } from "../../config/load-balancing.ts";
import type { Chance } from "./balancer.ts";
import { DeadlineScheduler } from "./deadline-scheduler.ts";
import type { BalancedHost } from "./host.ts";
import { type MadePicker, makePicker } from "./picker.ts";

export interface LocalityHosts<H> {
  readonly hosts: readonly H[];
  readonly weight: number;
}

export interface SourceOptions {
  readonly policy: BalancingPolicy;
  readonly activeRequests: () => number;
}

export class HostSource<H extends BalancedHost> {
  /** Those that may be picked: of localities without a weight, none. */
  readonly hosts: readonly H[];
  readonly #options: SourceOptions;
  readonly #localities: readonly LocalityHosts<H>[] | null;
  #made: MadePicker<H> | null = null;
  #turns: DeadlineScheduler | null = null;
  #sources: HostSource<H>[] = [];

  constructor(hosts: readonly H[], localities: readonly LocalityHosts<H>[] | null, options: SourceOptions) {
    this.hosts = localities === null ? hosts : localities.flatMap((it) => it.hosts);
    this.#localities = localities;
    this.#options = options;
  }

  pick(hash: Hash64, attempt: number, chance: Chance): H | null {
    if (this.hosts.length === 0) return null;
    // Consistent hashing has the localities' weights in its table.
    if (this.#localities !== null && !isHashing(this.#options.policy))
      return this.#pickByLocality(hash, attempt, chance);
    let made = this.#made;
    if (made === null || chance.now >= made.expiresAt) {
      const { activeRequests, policy } = this.#options;
      made = makePicker(
        policy,
        { hosts: this.hosts, weights: () => this.#normalizedWeights(), activeRequests },
        chance,
      );
      this.#made = made;
    }
    return made.picker.pick(hash, attempt, chance);
  }

  #pickByLocality(hash: Hash64, attempt: number, chance: Chance): H | null {
    const localities = this.#localities!;
    if (this.#turns === null) {
      this.#turns = new DeadlineScheduler(localities.length, (i) => localities[i]!.weight, chance.random);
      this.#sources = localities.map((it) => new HostSource(it.hosts, null, this.#options));
    }
    const chosen = this.#turns.first;
    this.#turns.next(localities[chosen]!.weight);
    return this.#sources[chosen]!.pick(hash, attempt, chance);
  }

  /** The part of the traffic that each host should get; together they make 1. */
  #normalizedWeights(): Float64Array {
    const weights = new Float64Array(this.hosts.length);
    const groups = this.#localities ?? [{ hosts: this.hosts, weight: 1 }];
    const whole = groups.reduce((sum, it) => sum + it.weight, 0);
    let at = 0;
    for (const { hosts, weight } of groups) {
      const sum = hosts.reduce((total, host) => total + host.config.weight, 0);
      for (const host of hosts) weights[at++] = ((weight / whole) * host.config.weight) / sum;
    }
    return weights;
  }
}

function isHashing(policy: BalancingPolicy): boolean {
  return policy.type === "ring_hash" || policy.type === "maglev";
}
