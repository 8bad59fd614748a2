// HOT: per request; bench/load-balancer.ts. Hosts of different weights by earliest deadline. The weight is reckoned at
// each pick, because requests in flight and slow start change it: weight × slow start / (active + 1) ^ bias.
import type { Hash64 } from "#base/hash/hash64.ts";
import type { SlowStart } from "../../config/load-balancing.ts";
import type { Chance } from "./balancer.ts";
import { DeadlineScheduler } from "./deadline-scheduler.ts";
import type { BalancedHost } from "./host.ts";
import type { Picker } from "./picker.ts";
import { slowStartFactor } from "./slow-start.ts";

export class WeightedPicker<H extends BalancedHost> implements Picker<H> {
  readonly #hosts: readonly H[];
  readonly #slowStart: SlowStart | null;
  /** 0: requests in flight do not count. */
  readonly #bias: number;
  readonly #scheduler: DeadlineScheduler;

  constructor(hosts: readonly H[], slowStart: SlowStart | null, bias: number, chance: Chance) {
    this.#hosts = hosts;
    this.#slowStart = slowStart;
    this.#bias = bias;
    this.#scheduler = new DeadlineScheduler(hosts.length, (i) => this.#weight(hosts[i]!, chance), chance.random);
  }

  pick(_hash: Hash64, _attempt: number, chance: Chance): H {
    const host = this.#hosts[this.#scheduler.first]!;
    this.#scheduler.next(this.#weight(host, chance));
    return host;
  }

  #weight(host: H, chance: Chance): number {
    let { weight } = host.config;
    if (this.#slowStart !== null) weight *= slowStartFactor(host, this.#slowStart, chance.now);
    if (this.#bias === 0) return weight;
    const load = host.activeRequests + 1;
    return weight / (this.#bias === 1 ? load : load ** this.#bias);
  }
}
