// HOT: per request; bench/load-balancer.ts. Any host, each as likely as another: as in Envoy, weights do not count.
import type { Hash64 } from "#base/hash/hash64.ts";
import type { Chance } from "./balancer.ts";
import type { Picker } from "./picker.ts";

export class RandomPicker<H> implements Picker<H> {
  readonly #hosts: readonly H[];

  constructor(hosts: readonly H[]) {
    this.#hosts = hosts;
  }

  pick(_hash: Hash64, _attempt: number, chance: Chance): H {
    return this.#hosts[Math.floor(chance.random() * this.#hosts.length)]!;
  }
}
