// For tests of balancers: hosts that are nothing but data, repeatable draws, and counting what is chosen.
import {
  type AssignmentPolicy,
  defaultAssignmentPolicy,
  type EndpointConfig,
  type LocalityConfig,
  plainEndpoint,
} from "../../../config/cluster.ts";
import {
  type BalancingPolicy,
  defaultLoadBalancing,
  type EndpointHealth,
  type LoadBalancingConfig,
  type MaglevPolicy,
  type RingHashPolicy,
} from "../../../config/load-balancing.ts";
import type { Balancer, Chance, HostState } from "../balancer.ts";
import { anyHost, type ChoiceContext } from "../choice.ts";
import { type BalancedHost, withDiscoveredHealth } from "../host.ts";
import type { LocalPeers } from "../zone-routing.ts";

export interface TestHost extends BalancedHost {
  activeRequests: number;
  healthFlags: number;
  usableSince: number;
}

export function host(key: string, overrides: Partial<EndpointConfig> = {}): TestHost {
  const config = { ...plainEndpoint(key, key, 80), ...overrides };
  return { config, activeRequests: 0, healthFlags: withDiscoveredHealth(0, config.health), usableSince: 0 };
}

export function hosts(count: number, overrides: Partial<EndpointConfig> = {}): TestHost[] {
  return Array.from({ length: count }, (_, i) => host(`10.0.${i >> 8}.${i & 255}:80`, overrides));
}

export function sick(key: string, health: EndpointHealth, overrides: Partial<EndpointConfig> = {}): TestHost {
  return host(key, { health, ...overrides });
}

interface Settings extends Partial<Omit<LoadBalancingConfig, "policy">> {
  readonly localities?: readonly LocalityConfig[];
  readonly assignment?: Partial<AssignmentPolicy>;
  readonly activeRequests?: () => number;
  readonly peers?: LocalPeers | null;
}

export function stateOf(
  policy: BalancingPolicy,
  members: readonly TestHost[],
  settings: Settings = {},
): HostState<TestHost> {
  const { localities = [], assignment = {}, activeRequests = () => 0, peers = null, ...config } = settings;
  return {
    hosts: members,
    config: { ...defaultLoadBalancing, panicThresholdPercent: 0, ...config, policy },
    localities,
    policy: { ...defaultAssignmentPolicy, ...assignment },
    activeRequests,
    peers,
  };
}

/** A repeatable stream of draws, and a clock that a test sets. */
export function chance(seed = 1): Chance & { now: number } {
  let state = seed;
  return {
    now: 1e9,
    random: () => {
      state = (state + 0x6d2b79f5) | 0;
      let t = Math.imul(state ^ (state >>> 15), 1 | state);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    },
  };
}

/** How often each host is chosen; "none" for no host. */
export function tally(
  balancer: Balancer<TestHost>,
  total: number,
  draws: Chance = chance(),
  context: Partial<ChoiceContext> = {},
): Map<string, number> {
  const seen = new Map<string, number>();
  for (let i = 0; i < total; i++) {
    const key = balancer.choose({ ...anyHost, ...context }, draws)?.config.key ?? "none";
    seen.set(key, (seen.get(key) ?? 0) + 1);
  }
  return seen;
}

export const roundRobin: BalancingPolicy = { type: "round_robin", slowStart: null };
export const leastRequest: BalancingPolicy = {
  type: "least_request",
  choiceCount: 2,
  activeRequestBias: 1,
  slowStart: null,
};
export const ringHash: RingHashPolicy = {
  type: "ring_hash",
  minimumSize: 1024,
  maximumSize: 8_388_608,
  hashFunction: "xx_hash",
  usesHostname: false,
  balanceFactorPercent: 0,
};
export const maglev: MaglevPolicy = {
  type: "maglev",
  tableSize: 65_537,
  usesHostname: false,
  balanceFactorPercent: 0,
};
