// HOT: per request; bench/load-balancer.ts. Consistent hashing with bounded loads (arXiv 1608.01350): a host that has
// its fill is passed over for another one. Which one follows from the hash alone, and hosts are tried in an order that
// jumps about (arXiv 1908.08762), so that the load of one host does not all fall on its neighbour.
import type { Hash64 } from "#base/hash/hash64.ts";
import type { Chance } from "./balancer.ts";
import type { BalancedHost } from "./host.ts";
import type { Picker } from "./picker.ts";

export class BoundedLoadPicker<H extends BalancedHost> implements Picker<H> {
  readonly #inner: Picker<H>;
  readonly #factorPercent: number;
  readonly #hosts: readonly H[];
  readonly #active: () => number;
  readonly #weightByHost = new Map<H, number>();

  /** `active` tells the requests in flight to all hosts of the cluster. */
  constructor(
    inner: Picker<H>,
    factorPercent: number,
    hosts: readonly H[],
    weights: Float64Array,
    active: () => number,
  ) {
    this.#inner = inner;
    this.#factorPercent = factorPercent;
    this.#active = active;
    this.#hosts = hosts;
    for (let i = 0; i < hosts.length; i++) this.#weightByHost.set(hosts[i]!, weights[i]!);
  }

  pick(hash: Hash64, attempt: number, chance: Chance): H {
    const hosts = this.#hosts;
    const count = hosts.length;
    const first = this.#inner.pick(hash, attempt, chance);
    const slots = Math.ceil(((this.#active() + 1) * this.#factorPercent) / 100);
    let best = first;
    let bestFill = this.#fill(first, slots);
    if (bestFill <= 1) return first;
    // A walk over all hosts from a place and with a step that the hash gives.
    let at = hash.high % count;
    const step = coprimeStep(hash.low, count);
    for (let i = 0; i < count; i++) {
      const host = hosts[at]!;
      const fill = this.#fill(host, slots);
      if (fill <= 1) return host;
      if (fill < bestFill) {
        best = host;
        bestFill = fill;
      }
      at += step;
      if (at >= count) at -= count;
    }
    return best;
  }

  /** How full a host is; above 1 it takes no more. */
  #fill(host: H, slots: number): number {
    const own = Math.max(1, Math.ceil(slots * this.#weightByHost.get(host)!));
    return host.activeRequests / own;
  }
}

/** A step that comes by every one of `count` places before it comes back. */
function coprimeStep(seed: number, count: number): number {
  if (count < 3) return 1;
  let step = 1 + (seed % (count - 1));
  while (divisor(step, count) !== 1) step = step === count - 1 ? 1 : step + 1;
  return step;
}

function divisor(a: number, b: number): number {
  let larger = a;
  let smaller = b;
  while (smaller !== 0) {
    const rest = larger % smaller;
    larger = smaller;
    smaller = rest;
  }
  return larger;
}
