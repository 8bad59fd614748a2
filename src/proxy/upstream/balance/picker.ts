// Picks one of the hosts of one source: the healthy ones of a priority, say, or those of one locality. Made when the
// source changes, and only once somebody asks.
import type { Hash64 } from "#base/hash/hash64.ts";
import type { BalancingPolicy } from "../../config/load-balancing.ts";
import type { Chance } from "./balancer.ts";
import { BoundedLoadPicker } from "./bounded-load.ts";
import type { BalancedHost } from "./host.ts";
import { LeastRequestPicker } from "./least-request.ts";
import { MaglevPicker } from "./maglev.ts";
import { RandomPicker } from "./random.ts";
import { RingHashPicker } from "./ring-hash.ts";
import { RoundRobinPicker } from "./round-robin.ts";
import { slowStartEnd } from "./slow-start.ts";
import { WeightedPicker } from "./weighted.ts";

export interface Picker<H> {
  /** `attempt` counts from 0; hash policies give another host for another attempt. */
  pick(hash: Hash64, attempt: number, chance: Chance): H;
}

export interface MadePicker<H> {
  readonly picker: Picker<H>;
  /** When another one has to be made, because slow start is over; infinite otherwise. */
  readonly expiresAt: number;
}

export interface PickerSource<H> {
  /** At least one. */
  readonly hosts: readonly H[];
  /** The hosts' parts of the whole, for hash policies. */
  readonly weights: () => Float64Array;
  /** Requests in flight to all hosts of the cluster. */
  readonly activeRequests: () => number;
}

export function makePicker<H extends BalancedHost>(
  policy: BalancingPolicy,
  source: PickerSource<H>,
  chance: Chance,
): MadePicker<H> {
  const { hosts } = source;
  const forever = (picker: Picker<H>): MadePicker<H> => ({ picker, expiresAt: Number.POSITIVE_INFINITY });
  switch (policy.type) {
    case "random":
    case "cluster_provided":
      return forever(new RandomPicker(hosts));
    case "ring_hash":
      return forever(bounded(new RingHashPicker(policy, hosts, source.weights()), policy.balanceFactorPercent, source));
    case "maglev":
      return forever(bounded(new MaglevPicker(policy, hosts, source.weights()), policy.balanceFactorPercent, source));
    case "round_robin": {
      const { slowStart } = policy;
      const end = slowStartEnd(slowStart, hosts, chance.now);
      if (end === 0 && haveEqualWeights(hosts)) return forever(new RoundRobinPicker(hosts, chance));
      return { picker: new WeightedPicker(hosts, slowStart, 0, chance), expiresAt: end || Number.POSITIVE_INFINITY };
    }
    case "least_request": {
      const { slowStart, activeRequestBias: bias } = policy;
      const end = slowStartEnd(slowStart, hosts, chance.now);
      if (end === 0 && haveEqualWeights(hosts)) return forever(new LeastRequestPicker(hosts, policy.choiceCount));
      return { picker: new WeightedPicker(hosts, slowStart, bias, chance), expiresAt: end || Number.POSITIVE_INFINITY };
    }
  }
}

function bounded<H extends BalancedHost>(picker: Picker<H>, factorPercent: number, source: PickerSource<H>): Picker<H> {
  if (factorPercent === 0) return picker;
  return new BoundedLoadPicker(picker, factorPercent, source.hosts, source.weights(), source.activeRequests);
}

function haveEqualWeights(hosts: readonly BalancedHost[]): boolean {
  const first = hosts[0]?.config.weight;
  return hosts.every((host) => host.config.weight === first);
}
