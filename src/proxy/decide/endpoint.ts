// Which endpoint of a cluster gets a request, with the live proxy's own balancers: by what discovery says of health, with
// nothing in flight and nothing ejected.
import { type ClusterConfig, type EndpointConfig, plainEndpoint } from "../config/cluster.ts";
import { formatAddress } from "../transport/connection-info.ts";
import { balancerCounters } from "../upstream/balance/balancer.ts";
import type { ChoiceContext } from "../upstream/balance/choice.ts";
import { type BalancedHost, withDiscoveredHealth } from "../upstream/balance/host.ts";
import { makeBalancer } from "../upstream/balance/make-balancer.ts";
import { type LocalPeers, localPeers } from "../upstream/balance/zone-routing.ts";
import { dynamicHost } from "./dynamic-host.ts";
import { endpointsOf, type ProxyView } from "./view.ts";

export interface EndpointChoice {
  /** Those that traffic may go to now. */
  readonly endpoints: readonly EndpointConfig[];
  readonly endpoint: EndpointConfig | null;
}

/** `random` is a draw from [0, 1). */
export function chooseEndpoint(
  view: ProxyView,
  cluster: ClusterConfig,
  context: ChoiceContext,
  random: number,
): EndpointChoice {
  if (cluster.type === "original_dst") {
    if (context.destination === null) return { endpoints: [], endpoint: null };
    const { ip, port } = context.destination;
    const endpoint = plainEndpoint(formatAddress(ip, port), ip, port);
    return { endpoints: [endpoint], endpoint };
  }
  if (cluster.type === "dynamic_forward_proxy") {
    const host = context.dynamicHost === null ? null : dynamicHost(context.dynamicHost, 0);
    if (host === null) return { endpoints: [], endpoint: null };
    const endpoint = { ...plainEndpoint(host.key, host.host, host.port), hostname: host.host };
    return { endpoints: [endpoint], endpoint };
  }
  const set = endpointsOf(view, cluster);
  if (set === null) return { endpoints: [], endpoint: null };
  const { endpoints, localities, policy } = set;
  const hosts = endpoints.map(idleHost);
  const balancer = makeBalancer<BalancedHost>(cluster.loadBalancing, balancerCounters());
  const peers = peersOf(view);
  balancer.update({ hosts, config: cluster.loadBalancing, localities, policy, activeRequests: () => 0, peers });
  // Slow start is over for every host.
  const host = balancer.choose(context, { now: Number.MAX_SAFE_INTEGER, random: () => random });
  return { endpoints: balancer.candidates(context).map((it) => it.config), endpoint: host?.config ?? null };
}

function idleHost(config: EndpointConfig): BalancedHost {
  return { config, activeRequests: 0, healthFlags: withDiscoveredHealth(0, config.health), usableSince: 0 };
}

function peersOf({ local, endpoints }: ProxyView): LocalPeers | null {
  const peers = local === null ? undefined : endpoints.get(local.cluster);
  return local === null || peers === undefined ? null : localPeers(local, peers.endpoints.map(idleHost));
}
