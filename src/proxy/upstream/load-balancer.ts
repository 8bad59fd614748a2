// HOT: per request. Chooses an endpoint: priority by health, then round robin, least request (best of two) or random,
// each by weight. Unhealthy endpoints are left out unless so few are healthy that the panic threshold is passed.
// Ring hash and maglev choose at random here: requests carry no hash yet.
import type { ClusterConfig } from "../config/cluster.ts";
import type { UpstreamEndpoint } from "./endpoint.ts";

/** Endpoints of one priority from which a balancer picks. */
interface HostSet {
  /** Percent of the traffic that this priority gets. */
  readonly load: number;
  readonly hosts: readonly UpstreamEndpoint[];
  /** Running sums of the weights, or null where all weights are equal. */
  readonly cumulativeWeights: readonly number[] | null;
}

/** Envoy's overprovisioning factor: a priority spills over when fewer than 1/1.4 of its hosts are healthy. */
const overprovisioning = 140;

export class LoadBalancer {
  #policy: ClusterConfig["lbPolicy"] = "least_request";
  #sets: readonly HostSet[] = [];
  #next = 0;

  /** Recomputes what can be chosen. Called on every change of endpoints, health or policy. */
  update(policy: ClusterConfig["lbPolicy"], panicPercent: number, endpoints: readonly UpstreamEndpoint[]): void {
    this.#policy = policy;
    const byPriority = new Map<number, UpstreamEndpoint[]>();
    for (const endpoint of endpoints) {
      const list = byPriority.get(endpoint.config.priority);
      if (list === undefined) byPriority.set(endpoint.config.priority, [endpoint]);
      else list.push(endpoint);
    }
    let left = 100;
    const sets: HostSet[] = [];
    for (const [, hosts] of [...byPriority].sort((a, b) => a[0] - b[0])) {
      const usable = hosts.filter((host) => host.config.health === "healthy" || host.config.health === "degraded");
      const healthyPercent = (100 * usable.length) / hosts.length;
      const load = Math.min(left, Math.min(100, (overprovisioning * usable.length) / hosts.length));
      left -= load;
      // A draining host gets nothing new, panic or not.
      const chosen = healthyPercent < panicPercent ? hosts.filter((host) => host.config.health !== "draining") : usable;
      sets.push(hostSet(load, chosen));
    }
    if (left > 0 && sets.length > 0) {
      // Not enough healthy hosts anywhere: what is left goes to the priorities in proportion, else to the first
      // priority with a host.
      const total = 100 - left;
      const first = sets.findIndex((set) => set.hosts.length > 0);
      this.#sets =
        total > 0
          ? sets.map((set) => ({ ...set, load: (set.load * 100) / total }))
          : sets.map((set, i) => ({ ...set, load: i === first ? 100 : 0 }));
      return;
    }
    this.#sets = sets;
  }

  /** An endpoint, or null when none can be used. */
  choose(random: () => number): UpstreamEndpoint | null {
    const set = this.#chooseSet(random);
    if (set === null || set.hosts.length === 0) return null;
    if (set.hosts.length === 1) return set.hosts[0]!;
    switch (this.#policy) {
      case "round_robin":
        return set.cumulativeWeights === null ? set.hosts[this.#next++ % set.hosts.length]! : smoothWeighted(set.hosts);
      case "least_request": {
        const one = pick(set, random());
        const two = pick(set, random());
        return one.activeRequests <= two.activeRequests ? one : two;
      }
      default:
        return pick(set, random());
    }
  }

  #chooseSet(random: () => number): HostSet | null {
    const sets = this.#sets;
    if (sets.length === 1) return sets[0]!;
    if (sets.length === 0) return null;
    let draw = random() * 100;
    for (const set of sets) {
      if (draw < set.load) return set;
      draw -= set.load;
    }
    return sets.find((set) => set.load > 0) ?? null;
  }
}

function hostSet(load: number, hosts: readonly UpstreamEndpoint[]): HostSet {
  const first = hosts[0]?.config.weight;
  if (hosts.every((host) => host.config.weight === first)) return { load, hosts, cumulativeWeights: null };
  let sum = 0;
  return { load, hosts, cumulativeWeights: hosts.map((host) => (sum += host.config.weight)) };
}

function pick(set: HostSet, draw: number): UpstreamEndpoint {
  const sums = set.cumulativeWeights;
  if (sums === null) return set.hosts[Math.floor(draw * set.hosts.length)]!;
  const point = draw * sums[sums.length - 1]!;
  let low = 0;
  let high = sums.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (point < sums[middle]!) high = middle;
    else low = middle + 1;
  }
  return set.hosts[low]!;
}

function smoothWeighted(hosts: readonly UpstreamEndpoint[]): UpstreamEndpoint {
  let total = 0;
  let best = hosts[0]!;
  for (const host of hosts) {
    total += host.config.weight;
    host.currentWeight += host.config.weight;
    if (host.currentWeight > best.currentWeight) best = host;
  }
  best.currentWeight -= total;
  return best;
}
