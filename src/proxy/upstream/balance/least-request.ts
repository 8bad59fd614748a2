// HOT: per request; bench/load-balancer.ts. Hosts of equal weight: the one with the fewest requests in flight among a few
// drawn ones, or among all.
import type { Hash64 } from "#base/hash/hash64.ts";
import type { Chance } from "./balancer.ts";
import type { BalancedHost } from "./host.ts";
import type { Picker } from "./picker.ts";

export class LeastRequestPicker<H extends BalancedHost> implements Picker<H> {
  readonly #hosts: readonly H[];
  readonly #choices: number;

  /** With 0 choices all hosts are looked at: O(n). */
  constructor(hosts: readonly H[], choices: number) {
    this.#hosts = hosts;
    this.#choices = choices;
  }

  pick(_hash: Hash64, _attempt: number, chance: Chance): H {
    if (this.#choices === 0) return this.#scan(chance);
    const hosts = this.#hosts;
    let best = hosts[Math.floor(chance.random() * hosts.length)]!;
    for (let i = 1; i < this.#choices; i++) {
      const other = hosts[Math.floor(chance.random() * hosts.length)]!;
      if (other.activeRequests < best.activeRequests) best = other;
    }
    return best;
  }

  /** Among equally idle hosts each is as likely as another. */
  #scan(chance: Chance): H {
    const hosts = this.#hosts;
    let best = hosts[0]!;
    let equals = 1;
    for (let i = 1; i < hosts.length; i++) {
      const host = hosts[i]!;
      if (host.activeRequests < best.activeRequests) {
        best = host;
        equals = 1;
      } else if (host.activeRequests === best.activeRequests && chance.random() * ++equals < 1) {
        best = host;
      }
    }
    return best;
  }
}
