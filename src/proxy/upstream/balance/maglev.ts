// HOT: per request; bench/load-balancer.ts. Maglev hashing (Eisenbud et al., NSDI 2016, listing 1, with weights): a table
// of prime size in which every host fills slots in the order of its own permutation, as many as its weight asks for. A
// request looks at one slot.
import { type Hash64, MutableHash64, remainder } from "#base/hash/hash64.ts";
import { xxHash64 } from "#base/hash/xx-hash64.ts";
import type { MaglevPolicy } from "../../config/load-balancing.ts";
import type { Chance } from "./balancer.ts";
import { hashKey } from "./hash-key.ts";
import type { BalancedHost } from "./host.ts";
import type { Picker } from "./picker.ts";

const free = 0xffff_ffff;

export class MaglevPicker<H extends BalancedHost> implements Picker<H> {
  readonly #hosts: readonly H[];
  readonly #table: Uint32Array;

  constructor(policy: MaglevPolicy, hosts: readonly H[], weights: Float64Array) {
    this.#hosts = hosts;
    this.#table = makeTable(policy, hosts, weights);
  }

  pick(hash: Hash64, attempt: number, _chance: Chance): H {
    const size = this.#table.length;
    const slot = remainder(hash, size);
    if (attempt === 0) return this.#hosts[this.#table[slot]!]!;
    // Another slot for every attempt, the same one for the same hash.
    return this.#hosts[this.#table[(slot + attempt * (1 + (hash.high % (size - 1)))) % size]!]!;
  }
}

function makeTable(policy: MaglevPolicy, hosts: readonly BalancedHost[], weights: Float64Array): Uint32Array {
  const { tableSize: size } = policy;
  const table = new Uint32Array(size).fill(free);
  const keys = hosts.map((host) => hashKey(host, policy));
  // In the order of the keys, so that every proxy makes the same table whatever order it learned the hosts in.
  const order = keys.map((_, i) => i).sort((a, b) => (keys[a]! < keys[b]! ? -1 : keys[a] === keys[b] ? 0 : 1));
  const places = new Float64Array(hosts.length);
  const skips = new Float64Array(hosts.length);
  const targets = new Float64Array(hosts.length);
  const out = new MutableHash64();
  let largest = 0;
  for (let i = 0; i < hosts.length; i++) {
    xxHash64(keys[i]!, 0, out);
    places[i] = remainder(out, size);
    xxHash64(keys[i]!, 1, out);
    skips[i] = remainder(out, size - 1) + 1;
    if (weights[i]! > largest) largest = weights[i]!;
  }
  let filled = 0;
  for (let turn = 1; filled < size; turn++) {
    for (let k = 0; k < order.length && filled < size; k++) {
      const i = order[k]!;
      // The heaviest host takes a slot in every turn, one of a third of its weight in every third.
      if (turn * weights[i]! < targets[i]!) continue;
      targets[i]! += largest;
      let place = places[i]!;
      const skip = skips[i]!;
      while (table[place] !== free) {
        place += skip;
        if (place >= size) place -= size;
      }
      table[place] = i;
      filled++;
      place += skip;
      places[i] = place >= size ? place - size : place;
    }
  }
  return table;
}
