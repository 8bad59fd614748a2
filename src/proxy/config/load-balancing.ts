// Runtime shape of how a cluster chooses among its endpoints: `lb_policy` with its settings, `load_balancing_policy`,
// `lb_subset_config` and `common_lb_config`. The balancers in `upstream/balance/` carry it out.
import type { JsonObject } from "@bufbuild/protobuf";

export interface LoadBalancingConfig {
  readonly policy: BalancingPolicy;
  /** A priority of which fewer than these percent can be used is in panic: health counts no more. 0: never. */
  readonly panicThresholdPercent: number;
  /** In panic nothing is chosen, instead of any host. */
  readonly failTrafficOnPanic: boolean;
  /** Traffic is spread over localities by their weights first. */
  readonly isLocalityWeighted: boolean;
  /** How requests stay in the proxy's zone, where the proxy knows its peers; null: zones do not count. */
  readonly zoneAware: ZoneAwareConfig | null;
  /** Null: no subsets. */
  readonly subsets: SubsetConfig | null;
  /** States in which a host may be asked for by name, as stateful sessions do. */
  readonly overrideHostStatuses: ReadonlySet<EndpointHealth>;
  /** New hosts do not count until their first health check. */
  readonly ignoresNewHosts: boolean;
  /** Connections are drained whenever hosts come or go. */
  readonly closesConnectionsOnChange: boolean;
  /** Changes of health and weight within this time are taken over together. */
  readonly mergeWindowMs: number;
}

/** Envoy's zone aware routing. */
export interface ZoneAwareConfig {
  /** Of how many requests the zone counts. */
  readonly routingPercent: number;
  /** With fewer healthy hosts than these in priority 0 zones do not count. */
  readonly minClusterSize: number;
  /** From so many healthy hosts in the proxy's zone on they get all requests; null: each host gets about as much. */
  readonly forcedFrom: number | null;
  /** What a zone can take is measured in the weights of its hosts rather than in their number. */
  readonly countsWeights: boolean;
}

/** Of a cluster that says nothing of zones. */
export const defaultZoneAware: ZoneAwareConfig = {
  routingPercent: 100,
  minClusterSize: 6,
  forcedFrom: null,
  countsWeights: false,
};

/** As EDS says it. */
export type EndpointHealth = "unknown" | "healthy" | "unhealthy" | "draining" | "timeout" | "degraded";

export type BalancingPolicy =
  | { readonly type: "round_robin"; readonly slowStart: SlowStart | null }
  | LeastRequestPolicy
  | { readonly type: "random" }
  | RingHashPolicy
  | MaglevPolicy
  | { readonly type: "cluster_provided"; readonly originalDst: OriginalDstPolicy };

export interface LeastRequestPolicy {
  readonly type: "least_request";
  /** How many hosts are drawn to take the least busy of; 0 looks at all. */
  readonly choiceCount: number;
  /** How much requests in flight lower a weight, where weights differ. */
  readonly activeRequestBias: number;
  readonly slowStart: SlowStart | null;
}

export interface ConsistentHashing {
  /** Hosts are hashed by name rather than by address. */
  readonly usesHostname: boolean;
  /** Percent of the average load that a host may have at most; 0: no bound. */
  readonly balanceFactorPercent: number;
}

export interface RingHashPolicy extends ConsistentHashing {
  readonly type: "ring_hash";
  readonly minimumSize: number;
  readonly maximumSize: number;
  readonly hashFunction: "xx_hash" | "murmur_hash_2";
}

export interface MaglevPolicy extends ConsistentHashing {
  readonly type: "maglev";
  /** A prime number. */
  readonly tableSize: number;
}

/** Where an ORIGINAL_DST cluster reads the destination. */
export interface OriginalDstPolicy {
  /** In lower case; null: requests cannot say it. */
  readonly headerName: string | null;
  /** 0: the port of the destination. */
  readonly portOverride: number;
}

/** A new host gets its share of the traffic little by little. */
export interface SlowStart {
  readonly windowMs: number;
  readonly aggression: number;
  /** Between 0 and 1: no host gets a smaller part of its weight. */
  readonly minimumFactor: number;
}

export interface SubsetConfig {
  readonly selectors: readonly SubsetSelector[];
  /** Where no selector applies. */
  readonly fallback: "no_fallback" | "any_endpoint" | "default_subset";
  readonly defaultSubset: JsonObject;
  readonly isLocalityWeightAware: boolean;
  /** A locality's weight shrinks with the part of its hosts that are in the subset. */
  readonly scalesLocalityWeight: boolean;
  /** When the fallback finds no host either, any host will do. */
  readonly panicModeAny: boolean;
  /** A host whose metadata has a list is in the subset of every element. */
  readonly listAsAny: boolean;
  /** The key `fallback_list` of a route's metadata names other criteria to try. */
  readonly usesFallbackList: boolean;
  /** Criteria may have more keys than the selector. */
  readonly allowsRedundantKeys: boolean;
}

export interface SubsetSelector {
  /** Sorted, each once. */
  readonly keys: readonly string[];
  readonly isSingleHost: boolean;
  /** Null: the cluster's. */
  readonly fallback: SubsetConfig["fallback"] | "keys_subset" | null;
  /** Sorted; for "keys_subset". */
  readonly fallbackKeys: readonly string[];
}

/** What a cluster without any setting does: round robin, and Envoy's defaults. */
export const defaultLoadBalancing: LoadBalancingConfig = {
  policy: { type: "round_robin", slowStart: null },
  panicThresholdPercent: 50,
  failTrafficOnPanic: false,
  isLocalityWeighted: false,
  zoneAware: defaultZoneAware,
  subsets: null,
  overrideHostStatuses: new Set<EndpointHealth>(["unknown", "healthy", "degraded"]),
  ignoresNewHosts: false,
  closesConnectionsOnChange: false,
  // Envoy waits for a second if nothing is said. Here it costs little to take a change over at once, and a new host that
  // has just become ready would be refused for that long.
  mergeWindowMs: 0,
};
