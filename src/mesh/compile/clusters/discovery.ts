// Where a cluster's endpoints come from, by the service's resolution and the kind of proxy.
import { Cluster_DiscoveryType } from "#wire/gen/envoy/config/cluster/v3/cluster_pb.ts";
import type { LoadBalancerSettings } from "../../objects/fields/traffic-policy.ts";
import type { ProxyNode } from "../../snapshot/proxy-node.ts";
import type { Service } from "../../snapshot/service.ts";

/**
 * Undefined for a dynamic forward proxy, whose type is an extension's. The application dialled an address itself only on a sidecar;
 * a gateway needs to be told the endpoints.
 */
export function discoveryType(
  service: Service,
  proxy: ProxyNode,
  loadBalancer: LoadBalancerSettings | undefined,
): Cluster_DiscoveryType | undefined {
  switch (service.resolution) {
    case "client-side-lb":
      return loadBalancer?.simple === "PASSTHROUGH" ? Cluster_DiscoveryType.ORIGINAL_DST : Cluster_DiscoveryType.EDS;
    case "dns-lb":
      return Cluster_DiscoveryType.STRICT_DNS;
    case "dns-round-robin-lb":
      return Cluster_DiscoveryType.LOGICAL_DNS;
    case "dynamic-dns":
      return undefined;
    case "passthrough":
      return proxy.type === "router" ? Cluster_DiscoveryType.EDS : Cluster_DiscoveryType.ORIGINAL_DST;
  }
}
