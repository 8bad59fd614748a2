// HOT: per request; bench/load-balancer.ts. Hosts of different weights by earliest deadline. The weight is asked for at
// each pick, because requests in flight and slow start change it.
import type { Hash64 } from "#base/hash/hash64.ts";
import type { Chance } from "./balancer.ts";
import { DeadlineScheduler } from "./deadline-scheduler.ts";
import type { Picker } from "./picker.ts";

export class WeightedPicker<H> implements Picker<H> {
  readonly #hosts: readonly H[];
  readonly #weight: (host: H, now: number) => number;
  readonly #scheduler: DeadlineScheduler;

  constructor(hosts: readonly H[], weight: (host: H, now: number) => number, chance: Chance) {
    this.#hosts = hosts;
    this.#weight = weight;
    this.#scheduler = new DeadlineScheduler(hosts.length, (i) => weight(hosts[i]!, chance.now), chance.random);
  }

  pick(_hash: Hash64, _attempt: number, chance: Chance): H {
    const host = this.#hosts[this.#scheduler.first]!;
    this.#scheduler.next(this.#weight(host, chance.now));
    return host;
  }
}
