// Envoy's zone aware routing: requests stay in the proxy's own zone as far as its hosts can take what the proxy's peers
// there send, and the rest goes to zones that have more hosts than peers. Pure; made anew with hosts or peers.
//
// | zone    | peers of 5 | hosts of 4 | what the proxy does, when it is in zone a                        |
// |---------|------------|------------|------------------------------------------------------------------|
// | a       | 2 (40 %)   | 1 (25 %)   | 25/40 of its requests stay                                       |
// | b       | 2 (40 %)   | 2 (50 %)   | the rest goes to b and c, by what they can still take: 10 to 5   |
// | c       | 1 (20 %)   | 1 (25 %)   |                                                                  |
import type { ZoneAwareConfig } from "../../config/load-balancing.ts";
import type { LocalNode } from "../../config/local-node.ts";
import type { BalancerCounters } from "./balancer.ts";
import { type BalancedHost, isUnhealthy } from "./host.ts";

/** The proxy's peers, itself among them: the hosts of its local cluster. */
export interface LocalPeers {
  /** Where the proxy is, as `EndpointConfig.locality`; empty: nobody knows. */
  readonly locality: string;
  readonly hosts: readonly BalancedHost[];
}

/** The peers as balancers see them. */
export function localPeers({ locality, addresses }: LocalNode, hosts: readonly BalancedHost[]): LocalPeers {
  const self = locality === "" ? hosts.find(({ config }) => addresses.includes(config.host)) : undefined;
  return { locality: self?.config.locality ?? locality, hosts };
}

export interface ZoneRouting {
  /** Localities of the hosts, the proxy's own first where it has hosts. */
  readonly zones: readonly string[];
  /** Of 10000 requests these go to the first zone; 10000: the other zones get none. */
  readonly ownShare: number;
  /** What the zones can still take, each added to those before it. */
  readonly residual: readonly number[];
}

interface PriorityHosts {
  readonly all: readonly BalancedHost[];
  readonly healthy: readonly BalancedHost[];
}

/** Null: zones do not count for these hosts. */
export function zoneRouting(
  { all, healthy }: PriorityHosts,
  peers: LocalPeers,
  config: ZoneAwareConfig,
  counters: BalancerCounters,
): ZoneRouting | null {
  counters.zoneRecalculations++;
  const own = peers.locality;
  const others = new Set(all.map((host) => host.config.locality));
  const hasOwn = others.delete(own);
  const zones = hasOwn ? [own, ...others] : [...others];
  if (zones.length < 2) return null;
  const peerZones = new Set(peers.hosts.map((host) => host.config.locality));
  if (peerZones.size < 2 && config.forcedFrom === null) return null;
  if (!peerZones.has(own)) {
    counters.localClusterNotOk++;
    return null;
  }
  if (healthy.length < config.minClusterSize) {
    counters.zoneClusterTooSmall++;
    return null;
  }
  const capacity = shares(healthy, config.countsWeights);
  const demand = shares(
    peers.hosts.filter(({ healthFlags }) => !isUnhealthy(healthFlags)),
    config.countsWeights,
  );
  const [ownCapacity, ownDemand] = [capacity.of(own), demand.of(own)];
  const isForced = config.forcedFrom !== null && capacity.count(own) >= config.forcedFrom;
  if (hasOwn && (isForced || (ownCapacity > 0 && ownCapacity >= ownDemand))) {
    return { zones, ownShare: everything, residual: [] };
  }
  let taken = 0;
  const residual = zones.map((zone, i) => {
    if (!(hasOwn && i === 0)) taken += Math.max(0, capacity.of(zone) - demand.of(zone));
    return taken;
  });
  const ownShare = hasOwn && ownDemand > 0 ? Math.floor((ownCapacity * everything) / ownDemand) : 0;
  return { zones, ownShare, residual };
}

/** Shares are counted in ten thousandths, cut off as Envoy does. */
const everything = 10_000;

interface Shares {
  of(zone: string): number;
  count(zone: string): number;
}

function shares(hosts: readonly BalancedHost[], countsWeights: boolean): Shares {
  const sizes = new Map<string, number>();
  const counts = new Map<string, number>();
  let total = 0;
  for (const { config } of hosts) {
    const size = countsWeights ? config.weight : 1;
    sizes.set(config.locality, (sizes.get(config.locality) ?? 0) + size);
    counts.set(config.locality, (counts.get(config.locality) ?? 0) + 1);
    total += size;
  }
  return {
    of: (zone) => (total === 0 ? 0 : Math.floor((everything * (sizes.get(zone) ?? 0)) / total)),
    count: (zone) => counts.get(zone) ?? 0,
  };
}

/** Draws the place of a zone in `zones`. HOT: per request, where zones count. `random` is from [0, 1). */
export function drawZone(routing: ZoneRouting, random: () => number, counters: BalancerCounters): number {
  const { ownShare, residual } = routing;
  if (ownShare >= everything) {
    counters.zoneRoutingAllDirectly++;
    return 0;
  }
  if (random() * everything < ownShare) {
    counters.zoneRoutingSampled++;
    return 0;
  }
  counters.zoneRoutingCrossZone++;
  const last = residual.length - 1;
  if (residual[last] === 0) {
    // Only by rounding.
    counters.zoneNoCapacityLeft++;
    return Math.floor(random() * residual.length);
  }
  const threshold = Math.floor(random() * residual[last]!);
  let i = 0;
  while (threshold >= residual[i]!) i++;
  return i;
}
