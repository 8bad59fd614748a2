// Dynamic forward proxies: clusters whose hosts are what requests and hellos name, and the filters that look those hosts
// up. For services with DYNAMIC_DNS, and for unknown hosts where the mesh resolves them itself. Cluster and filters find
// each other by the name of their DNS cache.
import type { MessageInitShape } from "@bufbuild/protobuf";
import { Cluster_DnsLookupFamily, Cluster_LbPolicy } from "#wire/gen/envoy/config/cluster/v3/cluster_pb.ts";
import type { Filter } from "#wire/gen/envoy/config/listener/v3/listener_components_pb.ts";
import { ClusterConfigSchema } from "#wire/gen/envoy/extensions/clusters/dynamic_forward_proxy/v3/cluster_pb.ts";
import type { DnsCacheConfigSchema } from "#wire/gen/envoy/extensions/common/dynamic_forward_proxy/v3/dns_cache_pb.ts";
import { FilterConfigSchema as HttpForwardSchema } from "#wire/gen/envoy/extensions/filters/http/dynamic_forward_proxy/v3/dynamic_forward_proxy_pb.ts";
import type { HttpFilter } from "#wire/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts";
import { FilterConfigSchema as SniForwardSchema } from "#wire/gen/envoy/extensions/filters/network/sni_dynamic_forward_proxy/v3/sni_dynamic_forward_proxy_pb.ts";
import { OutboundMode } from "../../objects/fields/outbound-traffic-policy.ts";
import type { ProxyNode } from "../../snapshot/proxy-node.ts";
import { Resolution, type Service } from "../../snapshot/service.ts";
import type { MeshSnapshot } from "../../snapshot/snapshot.ts";
import type { ClusterInit } from "../clusters/cluster-blocks.ts";
import { milliseconds, pack } from "../envoy-values.ts";
import { allowAnyDynamicDnsCluster, dnsCacheName } from "../names.ts";
import { addressFamily } from "../proxy-addresses.ts";
import { once } from "../shared-work.ts";
import { httpFilter } from "./http-filters.ts";
import { networkFilter } from "./network-filters.ts";

/** Type and balancing of such a cluster. `isInsecure`: TLS does not follow the host's name in everything. */
export function forwardProxyType(
  snapshot: MeshSnapshot,
  proxy: ProxyNode,
  host: string,
  isInsecure: boolean,
): ClusterInit {
  const typedConfig = pack(ClusterConfigSchema, {
    clusterImplementationSpecifier: { case: "dnsCacheConfig", value: dnsCache(snapshot, proxy, host) },
    allowInsecureClusterOptions: isInsecure,
  });
  return {
    clusterDiscoveryType: {
      case: "clusterType",
      value: { name: "envoy.clusters.dynamic_forward_proxy", typedConfig },
    },
    lbPolicy: Cluster_LbPolicy.CLUSTER_PROVIDED,
  };
}

interface ForwardProxyScope {
  readonly services: readonly Service[];
  /** Of sidecars. */
  readonly outboundTrafficPolicy?: OutboundMode;
}

/** The filters of HTTP chains: none, or one for each DNS cache that requests may need. */
export function forwardProxyFilters(
  snapshot: MeshSnapshot,
  proxy: ProxyNode,
  scope: ForwardProxyScope,
): readonly HttpFilter[] {
  const family = addressFamily(proxy);
  return once(scope, `forward proxies ${family}`, () =>
    forwardedHosts(scope).map((host) =>
      once(snapshot, `forward proxy ${family} ${host}`, () =>
        httpFilter("envoy.filters.http.dynamic_forward_proxy", HttpForwardSchema, {
          implementationSpecifier: { case: "dnsCacheConfig", value: dnsCache(snapshot, proxy, host) },
        }),
      ),
    ),
  );
}

/** Tells apart chains with other filters of that kind. */
export function forwardProxyKey(proxy: ProxyNode, scope: ForwardProxyScope): string {
  const hosts = once(scope, "forwarded hosts", () => forwardedHosts(scope));
  return hosts.length === 0 ? "" : `${addressFamily(proxy)} ${hosts.join()}`;
}

function forwardedHosts({ services, outboundTrafficPolicy }: ForwardProxyScope): string[] {
  return [
    ...services.filter(({ resolution }) => resolution === Resolution.DynamicDns).map(({ hostname }) => hostname),
    ...(outboundTrafficPolicy === OutboundMode.AllowAnyDynamicDns ? [allowAnyDynamicDnsCluster] : []),
  ];
}

/** Before the TCP proxy of TLS to such a service. */
export function sniForwardProxy(snapshot: MeshSnapshot, proxy: ProxyNode, host: string, port: number): Filter {
  return networkFilter("envoy.filters.network.sni_dynamic_forward_proxy", SniForwardSchema, {
    dnsCacheConfig: dnsCache(snapshot, proxy, host),
    portSpecifier: { case: "portValue", value: port },
  });
}

function dnsCache(
  { meshConfig }: MeshSnapshot,
  proxy: ProxyNode,
  host: string,
): MessageInitShape<typeof DnsCacheConfigSchema> {
  return {
    name: dnsCacheName(host),
    dnsLookupFamily:
      addressFamily(proxy) === "ipv6" ? Cluster_DnsLookupFamily.V6_ONLY : Cluster_DnsLookupFamily.V4_ONLY,
    dnsRefreshRate: milliseconds(meshConfig.dnsRefreshRate),
  };
}
