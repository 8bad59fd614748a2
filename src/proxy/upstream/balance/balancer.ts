// The contract of everything that chooses a host among many. `update` does all the work that can be done then; `choose`
// is HOT: per request, allocates nothing and takes O(1) or O(log n).
import type { AssignmentPolicy, LocalityConfig } from "../../config/cluster.ts";
import type { LoadBalancingConfig } from "../../config/load-balancing.ts";
import type { ChoiceContext } from "./choice.ts";
import type { BalancedHost } from "./host.ts";
import type { LocalPeers } from "./zone-routing.ts";

export interface Balancer<H extends BalancedHost> {
  /** Takes over new hosts, or a new state of the same hosts. */
  update(state: HostState<H>): void;
  /** A host, or null when none can be used. */
  choose(context: ChoiceContext, chance: Chance): H | null;
  /** Hosts that `choose` may return for that context, for descriptions. */
  candidates(context: ChoiceContext): readonly H[];
}

export interface HostState<H extends BalancedHost> {
  readonly hosts: readonly H[];
  readonly config: LoadBalancingConfig;
  readonly localities: readonly LocalityConfig[];
  readonly policy: AssignmentPolicy;
  /** Requests in flight to all hosts of the cluster. */
  readonly activeRequests: () => number;
  /** For zone aware routing; null: the proxy does not know its peers. */
  readonly peers: LocalPeers | null;
}

/** What choices depend on besides the hosts. An event loop is one. */
export interface Chance {
  /** Milliseconds. */
  readonly now: number;
  /** From [0, 1). */
  readonly random: () => number;
}

/** Counters under Envoy's names. */
export interface BalancerCounters {
  healthyPanic: number;
  zoneRecalculations: number;
  /** Peers that are not there, or in panic. */
  localClusterNotOk: number;
  zoneClusterTooSmall: number;
  zoneNoCapacityLeft: number;
  zoneRoutingAllDirectly: number;
  zoneRoutingSampled: number;
  zoneRoutingCrossZone: number;
  subsetsSelected: number;
  subsetsFallback: number;
  subsetsFallbackPanic: number;
  /** Headers that should say where an ORIGINAL_DST cluster goes, and say no address. */
  invalidOriginalDestinations: number;
  /** Gauges. */
  subsetsActive: number;
  singleHostDuplicates: number;
}

export function balancerCounters(): BalancerCounters {
  return {
    healthyPanic: 0,
    zoneRecalculations: 0,
    localClusterNotOk: 0,
    zoneClusterTooSmall: 0,
    zoneNoCapacityLeft: 0,
    zoneRoutingAllDirectly: 0,
    zoneRoutingSampled: 0,
    zoneRoutingCrossZone: 0,
    subsetsSelected: 0,
    subsetsFallback: 0,
    subsetsFallbackPanic: 0,
    invalidOriginalDestinations: 0,
    subsetsActive: 0,
    singleHostDuplicates: 0,
  };
}
