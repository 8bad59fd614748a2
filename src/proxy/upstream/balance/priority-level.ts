// The hosts of one priority, told apart by health and by locality, with a source for each of the ways in which they are
// chosen from.
import type { LoadBalancingConfig } from "../../config/load-balancing.ts";
import type { HostState } from "./balancer.ts";
import {
  type BalancedHost,
  EXCLUDED_VIA_IMMEDIATE_HC_FAIL,
  isDegraded,
  isUnhealthy,
  PENDING_ACTIVE_HC,
} from "./host.ts";
import { HostSource, type LocalityHosts } from "./host-source.ts";
import type { PriorityHealth } from "./priority-load.ts";

export interface PriorityLevel<H extends BalancedHost> {
  readonly health: PriorityHealth;
  readonly all: HostSource<H>;
  readonly healthy: HostSource<H>;
  readonly degraded: HostSource<H>;
}

/** Levels from priority 0 to the last one; those in between without hosts are empty. */
export function priorityLevels<H extends BalancedHost>(state: HostState<H>): PriorityLevel<H>[] {
  const byPriority: H[][] = [];
  for (const host of state.hosts) {
    const { priority } = host.config;
    while (byPriority.length <= priority) byPriority.push([]);
    byPriority[priority]?.push(host);
  }
  return byPriority.map((hosts, priority) => level(state, hosts, priority));
}

function level<H extends BalancedHost>(state: HostState<H>, hosts: readonly H[], priority: number): PriorityLevel<H> {
  const { config, policy } = state;
  const healthy: H[] = [];
  const degraded: H[] = [];
  const eligible: H[] = [];
  for (const host of hosts) {
    const flags = host.healthFlags;
    if (isExcluded(flags, config)) continue;
    eligible.push(host);
    if (isDegraded(flags)) degraded.push(host);
    else if (!isUnhealthy(flags)) healthy.push(host);
  }
  const size = policy.countsWeights ? weightSum : count;
  const localities = config.isLocalityWeighted ? new Localities(state, priority, eligible) : null;
  const source = (members: readonly H[], usesLocalities: boolean): HostSource<H> =>
    new HostSource(members, usesLocalities ? (localities?.of(members) ?? null) : null, {
      policy: config.policy,
      activeRequests: state.activeRequests,
    });
  return {
    health: { eligible: size(eligible), healthy: size(healthy), degraded: size(degraded), hosts: hosts.length },
    // In panic localities do not count either.
    all: source(hosts, false),
    healthy: source(healthy, true),
    degraded: source(degraded, true),
  };
}

function isExcluded(flags: number, config: LoadBalancingConfig): boolean {
  if ((flags & EXCLUDED_VIA_IMMEDIATE_HC_FAIL) !== 0) return true;
  return config.ignoresNewHosts && (flags & PENDING_ACTIVE_HC) !== 0;
}

function count(hosts: readonly BalancedHost[]): number {
  return hosts.length;
}

function weightSum(hosts: readonly BalancedHost[]): number {
  let sum = 0;
  for (const host of hosts) sum += host.config.weight;
  return sum;
}

/** The localities of one priority with their weights. */
class Localities<H extends BalancedHost> {
  readonly #overprovisioning: number;
  readonly #weights = new Map<string, number>();
  readonly #eligible = new Map<string, number>();

  constructor(state: HostState<H>, priority: number, eligible: readonly H[]) {
    this.#overprovisioning = state.policy.overprovisioningPercent / 100;
    for (const it of state.localities) if (it.priority === priority) this.#weights.set(it.name, it.weight);
    for (const { config } of eligible)
      this.#eligible.set(config.locality, (this.#eligible.get(config.locality) ?? 0) + 1);
  }

  /** Null when no locality of these hosts has a weight: then localities do not count. */
  of(members: readonly H[]): readonly LocalityHosts<H>[] | null {
    const byName = new Map<string, H[]>();
    for (const host of members) {
      const { locality } = host.config;
      const hosts = byName.get(locality);
      if (hosts === undefined) byName.set(locality, [host]);
      else hosts.push(host);
    }
    const found: LocalityHosts<H>[] = [];
    for (const [name, hosts] of byName) {
      // A locality keeps its whole weight as long as enough of its hosts can be used.
      const usable = Math.min(1, (this.#overprovisioning * hosts.length) / (this.#eligible.get(name) ?? hosts.length));
      const weight = (this.#weights.get(name) ?? 0) * usable;
      if (weight > 0) found.push({ hosts, weight });
    }
    return found.length === 0 ? null : found;
  }
}
