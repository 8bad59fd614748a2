// HOT: per request; bench/load-balancer.ts. Hosts of equal weight, one after the other, beginning anywhere.
import type { Hash64 } from "#base/hash/hash64.ts";
import type { Chance } from "./balancer.ts";
import type { Picker } from "./picker.ts";

export class RoundRobinPicker<H> implements Picker<H> {
  readonly #hosts: readonly H[];
  #next: number;

  constructor(hosts: readonly H[], chance: Chance) {
    this.#hosts = hosts;
    this.#next = Math.floor(chance.random() * hosts.length);
  }

  pick(_hash: Hash64, _attempt: number, _chance: Chance): H {
    const at = this.#next;
    this.#next = at + 1 === this.#hosts.length ? 0 : at + 1;
    return this.#hosts[at]!;
  }
}
