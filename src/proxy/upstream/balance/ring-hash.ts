// HOT: per request; bench/load-balancer.ts. Ketama: every host stands on a ring of 64-bit hashes as often as its weight
// asks for, and a request goes to the first entry that is not before its hash. When a host goes, only its own requests
// move. Three parallel arrays in the order of the hashes; picking is a binary search.
import { compareHash, type Hash64, MutableHash64 } from "#base/hash/hash64.ts";
import { murmurHash2 } from "#base/hash/murmur-hash2.ts";
import { xxHash64 } from "#base/hash/xx-hash64.ts";
import type { RingHashPolicy } from "../../config/load-balancing.ts";
import type { Chance } from "./balancer.ts";
import { hashKey } from "./hash-key.ts";
import type { BalancedHost } from "./host.ts";
import type { Picker } from "./picker.ts";

/** Uneven weights alone make no larger ring, because building one holds up the event loop: a million in 0.3 s. */
export const largestUnaskedRing: number = 1 << 20;

export class RingHashPicker<H extends BalancedHost> implements Picker<H> {
  readonly #hosts: readonly H[];
  readonly #highs: Uint32Array;
  readonly #lows: Uint32Array;
  readonly #owners: Uint32Array;

  constructor(policy: RingHashPolicy, hosts: readonly H[], weights: Float64Array) {
    this.#hosts = hosts;
    const scale = ringScale(policy, weights);
    const size = Math.ceil(scale);
    const unsorted: Ring = {
      highs: new Uint32Array(size),
      lows: new Uint32Array(size),
      owners: new Uint32Array(size),
      length: 0,
    };
    fill(unsorted, policy, hosts, weights, scale);
    const ring = sortByHash(unsorted);
    this.#highs = ring.highs;
    this.#lows = ring.lows;
    this.#owners = ring.owners;
  }

  get size(): number {
    return this.#owners.length;
  }

  pick(hash: Hash64, attempt: number, _chance: Chance): H {
    const { high, low } = hash;
    const highs = this.#highs;
    const lows = this.#lows;
    const size = highs.length;
    let from = 0;
    let to = size;
    while (from < to) {
      const middle = (from + to) >> 1;
      if (compareHash(highs[middle]!, lows[middle]!, high, low) < 0) from = middle + 1;
      else to = middle;
    }
    // After the last entry the ring begins again; another attempt takes the next entry.
    return this.#hosts[this.#owners[(from + attempt) % size]!]!;
  }
}

interface Ring {
  readonly highs: Uint32Array;
  readonly lows: Uint32Array;
  readonly owners: Uint32Array;
  length: number;
}

/**
 * Entries per unit of weight: as few as give the smallest host a whole number of entries and the ring its minimum size,
 * within the maximum size.
 */
function ringScale(policy: RingHashPolicy, weights: Float64Array): number {
  let smallest = 1;
  for (const weight of weights) if (weight < smallest) smallest = weight;
  const maximum = Math.min(policy.maximumSize, Math.max(policy.minimumSize, largestUnaskedRing));
  return Math.min(Math.ceil(smallest * policy.minimumSize) / smallest, maximum);
}

function fill(
  ring: Ring,
  policy: RingHashPolicy,
  hosts: readonly BalancedHost[],
  weights: Float64Array,
  scale: number,
): void {
  const out = new MutableHash64();
  const usesMurmur = policy.hashFunction === "murmur_hash_2";
  let target = 0;
  let count = 0;
  for (let i = 0; i < hosts.length; i++) {
    const prefix = `${hashKey(hosts[i]!, policy)}_`;
    target += scale * weights[i]!;
    for (let k = 0; count < target && count < ring.owners.length; k++, count++) {
      if (usesMurmur) murmurHash2(prefix + k, out);
      else xxHash64(prefix + k, 0, out);
      ring.highs[count] = out.high;
      ring.lows[count] = out.low;
      ring.owners[count] = i;
    }
  }
  ring.length = count;
}

const digitBits = 11;
const buckets = 1 << digitBits;

/** Radix sort over the upper halves; the few entries that agree in them are put in order one by one. */
function sortByHash(ring: Ring): Ring {
  const { highs, lows, length } = ring;
  let order = new Uint32Array(length);
  let other = new Uint32Array(length);
  for (let i = 0; i < length; i++) order[i] = i;
  const counts = new Uint32Array(buckets);
  for (let shift = 0; shift < 32; shift += digitBits) {
    counts.fill(0);
    for (let i = 0; i < length; i++) counts[(highs[i]! >>> shift) & (buckets - 1)]!++;
    for (let bucket = 0, start = 0; bucket < buckets; bucket++) {
      const count = counts[bucket]!;
      counts[bucket] = start;
      start += count;
    }
    for (let i = 0; i < length; i++) {
      const entry = order[i]!;
      other[counts[(highs[entry]! >>> shift) & (buckets - 1)]!++] = entry;
    }
    [order, other] = [other, order];
  }
  for (let i = 1; i < length; i++) {
    const entry = order[i]!;
    let at = i;
    while (at > 0 && compareHash(highs[order[at - 1]!]!, lows[order[at - 1]!]!, highs[entry]!, lows[entry]!) > 0) {
      order[at] = order[at - 1]!;
      at--;
    }
    order[at] = entry;
  }
  return {
    highs: order.map((entry) => highs[entry]!),
    lows: order.map((entry) => lows[entry]!),
    owners: order.map((entry) => ring.owners[entry]!),
    length,
  };
}
