// HOT: per request, where zones count; bench/load-balancer.ts. The hosts of priority 0 by zone, for zone aware routing.
import type { BalancerCounters, Chance, HostState } from "./balancer.ts";
import { type BalancedHost, isUnhealthy } from "./host.ts";
import { HostSource } from "./host-source.ts";
import type { PriorityLevel } from "./priority-level.ts";
import { drawZone, type LocalPeers, type ZoneRouting, zoneRouting } from "./zone-routing.ts";

export class ZoneSources<H extends BalancedHost> {
  readonly #routing: ZoneRouting;
  readonly #routingFraction: number;
  readonly #arePeersInPanic: boolean;
  readonly #failsInPanic: boolean;
  readonly #healthy: readonly HostSource<H>[];
  readonly #degraded: readonly HostSource<H>[];
  readonly #counters: BalancerCounters;

  private constructor(state: HostState<H>, level: PriorityLevel<H>, routing: ZoneRouting, made: Made) {
    const { config } = state;
    this.#routing = routing;
    this.#routingFraction = made.routingPercent / 100;
    this.#arePeersInPanic = isInPanic(made.peers, config.panicThresholdPercent);
    this.#failsInPanic = config.failTrafficOnPanic;
    this.#counters = made.counters;
    const options = { policy: config.policy, activeRequests: state.activeRequests };
    const byZone = (hosts: readonly H[]): HostSource<H>[] => {
      const groups = Map.groupBy(hosts, (host) => host.config.locality);
      return routing.zones.map((zone) => new HostSource(groups.get(zone) ?? [], null, options));
    };
    this.#healthy = byZone(level.healthy.hosts);
    this.#degraded = byZone(level.degraded.hosts);
  }

  /** Null: zones do not count. Consistent hashing never looks at them. */
  static of<H extends BalancedHost>(
    state: HostState<H>,
    level: PriorityLevel<H> | undefined,
    counters: BalancerCounters,
  ): ZoneSources<H> | null {
    const { config, peers } = state;
    if (peers === null || config.zoneAware === null || level === undefined || isBlind.has(config.policy.type)) {
      return null;
    }
    const hosts = { all: level.all.hosts, healthy: level.healthy.hosts };
    const routing = zoneRouting(hosts, peers, config.zoneAware, counters);
    if (routing === null) return null;
    const { routingPercent } = config.zoneAware;
    return new ZoneSources(state, level, routing, { peers, routingPercent, counters });
  }

  /** The source to pick from; `whole` where zones do not count for this request. */
  choose(whole: HostSource<H>, isDegraded: boolean, chance: Chance): HostSource<H> | null {
    if (this.#routingFraction < 1 && chance.random() >= this.#routingFraction) return whole;
    if (this.#arePeersInPanic) {
      this.#counters.localClusterNotOk++;
      return this.#failsInPanic ? null : whole;
    }
    const zone = drawZone(this.#routing, chance.random, this.#counters);
    return (isDegraded ? this.#degraded : this.#healthy)[zone]!;
  }

  /** Healthy hosts that may be chosen, or null for all of them. */
  get candidates(): readonly H[] | null {
    const isAlways = this.#routingFraction >= 1 && !this.#arePeersInPanic;
    if (!isAlways) return null;
    const { ownShare, residual } = this.#routing;
    return this.#healthy
      .filter((_, i) => {
        if (i === 0 && ownShare > 0) return true;
        return ownShare < 10_000 && (residual[i] ?? 0) > (residual[i - 1] ?? 0);
      })
      .flatMap(({ hosts }) => hosts);
  }
}

interface Made {
  readonly peers: LocalPeers;
  readonly routingPercent: number;
  readonly counters: BalancerCounters;
}

const isBlind: ReadonlySet<string> = new Set(["ring_hash", "maglev", "cluster_provided"]);

function isInPanic({ hosts }: LocalPeers, thresholdPercent: number): boolean {
  const usable = hosts.filter(({ healthFlags }) => !isUnhealthy(healthFlags)).length;
  return (hosts.length === 0 ? 0 : (100 * usable) / hosts.length) < thresholdPercent;
}
