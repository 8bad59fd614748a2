// Which resources a resource needs before traffic may use it: listeners need routes and clusters, routes need clusters.
import type { ClusterConfig } from "../config/cluster.ts";
import type { FilterDiscovery } from "../config/extension.ts";
import type { RouteConfig } from "../config/http.ts";
import type { FilterChainConfig, ListenerConfig } from "../config/listener.ts";
import type { PeerRequirements } from "../config/tls.ts";

/** Names of route configurations that come over RDS. */
export function routesOfListener(listener: ListenerConfig): Set<string> {
  const names = new Set<string>();
  for (const chain of chainsOf(listener)) {
    for (const filter of chain.filters) {
      const name = filter.http?.routeConfigName ?? null;
      if (name !== null) names.add(name);
    }
  }
  return names;
}

/** What a listener takes from ECDS: the filters that name a resource, by its name. */
export function discoveriesOfListener(listener: ListenerConfig): Map<string, Discovery[]> {
  const found = new Map<string, Discovery[]>();
  for (const chain of chainsOf(listener)) {
    for (const { discovery, http } of chain.filters) {
      for (const one of [discovery, ...(http?.httpFilters.map((filter) => filter.discovery) ?? [])]) {
        if (one === undefined) continue;
        const others = found.get(one.resource);
        if (others === undefined) found.set(one.resource, [one]);
        else others.push(one);
      }
    }
  }
  return found;
}

type Discovery = Omit<FilterDiscovery<unknown>, "fallback">;

/** Names of the secrets that its TLS needs, all of them and those that come over ADS. */
export function secretsOfListener(listener: ListenerConfig): NeededSecrets[] {
  return chainsOf(listener).flatMap(({ tls }) => (tls === null ? [] : [neededBy(tls, tls.certificateNames)]));
}

export function secretsOfCluster(cluster: ClusterConfig): NeededSecrets[] {
  return cluster.transports.flatMap(({ tls }) =>
    tls === null ? [] : [neededBy(tls, tls.certificateName === null ? [] : [tls.certificateName])],
  );
}

export interface NeededSecrets {
  readonly all: readonly string[];
  readonly overAds: readonly string[];
}

function neededBy(tls: PeerRequirements, certificates: readonly string[]): NeededSecrets {
  const others = [tls.validationName, tls.revocationName].filter((name) => name !== null);
  return { all: [...certificates, ...others], overAds: tls.secretsOverAds };
}

/** Clusters that the listener names itself: TCP proxies and inline routes. */
export function clustersOfListener(listener: ListenerConfig): Set<string> {
  const names = new Set<string>();
  for (const chain of chainsOf(listener)) {
    for (const filter of chain.filters) {
      for (const name of filter.clusters) names.add(name);
      const routes = filter.http?.routeConfig ?? null;
      if (routes !== null) for (const name of clustersOfRoutes(routes)) names.add(name);
    }
  }
  return names;
}

export function clustersOfRoutes(routes: RouteConfig): Set<string> {
  const names = new Set<string>();
  for (const host of routes.virtualHosts) {
    for (const { action } of host.routes) {
      if (action.type === "forward") for (const cluster of action.forward.clusters) names.add(cluster.name);
    }
  }
  return names;
}

/** The name under which EDS serves the cluster's endpoints; null for clusters that have none of EDS. */
export function edsNameOf(cluster: ClusterConfig): string | null {
  return cluster.type === "eds" ? cluster.edsServiceName || cluster.name : null;
}

export function chainsOf(listener: ListenerConfig): readonly FilterChainConfig[] {
  return listener.defaultFilterChain === null
    ? listener.filterChains
    : [...listener.filterChains, listener.defaultFilterChain];
}
