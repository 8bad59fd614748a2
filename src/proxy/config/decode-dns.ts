// How a cluster looks up names.
import type { Cluster } from "#wire/gen/envoy/config/cluster/v3/cluster_pb.ts";
import { ClusterConfigSchema as ForwardProxySchema } from "#wire/gen/envoy/extensions/clusters/dynamic_forward_proxy/v3/cluster_pb.ts";
import type { HttpProtocolOptions } from "#wire/gen/envoy/extensions/upstreams/http/v3/http_protocol_options_pb.ts";
import type { DnsConfig } from "./cluster.ts";
import type { ForwardProxyConfig } from "./dns-cache.ts";
import { parseFailureRefresh, parseLookupFamily } from "./parse/dns.ts";
import { parseDnsCache } from "./parse/dns-cache.ts";
import { milliseconds, typeName, unpack } from "./parse/values.ts";
import type { Problems } from "./problems.ts";

export function decodeDns(cluster: Cluster, problems: Problems): DnsConfig {
  const refreshMs = milliseconds(cluster.dnsRefreshRate, 5000);
  if (refreshMs < 1) problems.invalid("dns_refresh_rate", "is below 1 ms");
  const ownResolver =
    cluster.typedDnsResolverConfig !== undefined ||
    cluster.dnsResolutionConfig !== undefined ||
    cluster.dnsResolvers.length > 0;
  if (ownResolver) problems.replaced("dns_resolvers", "a resolver of its own", "the system's resolver is used");
  return {
    refreshMs,
    failureRefresh: parseFailureRefresh(cluster.dnsFailureRefreshRate, "dns_failure_refresh_rate", problems),
    respectsTtl: cluster.respectDnsTtl,
    family: parseLookupFamily(cluster.dnsLookupFamily),
  };
}

/** Whether a cluster's type is one of an extension that this proxy has. */
export function isForwardProxy(cluster: Cluster): boolean {
  const discovery = cluster.clusterDiscoveryType;
  const any = discovery.case === "clusterType" ? discovery.value.typedConfig : undefined;
  return any !== undefined && typeName(any) === ForwardProxySchema.typeName;
}

/** Of a cluster of that type; null for the others. */
export function decodeForwardProxy(
  cluster: Cluster,
  options: HttpProtocolOptions | null,
  problems: Problems,
): ForwardProxyConfig | null {
  const discovery = cluster.clusterDiscoveryType;
  const any = discovery.case === "clusterType" ? discovery.value.typedConfig : undefined;
  if (any === undefined || !isForwardProxy(cluster)) return null;
  const path = "cluster_type.typed_config";
  const message = unpack(any, ForwardProxySchema, path, problems);
  if (message === null) return null;
  const specifier = message.clusterImplementationSpecifier;
  if (specifier.case === "subClustersConfig") {
    problems.unsupported(`${path}.sub_clusters_config`, "a cluster for each host");
    return null;
  }
  if (message.allowCoalescedConnections) {
    problems.leftOut(`${path}.allow_coalesced_connections`, "connections that several hosts share");
  }
  const cache = parseDnsCache(
    specifier.case === "dnsCacheConfig" ? specifier.value : undefined,
    `${path}.dns_cache_config`,
    problems,
  );
  const wanted = options?.upstreamHttpProtocolOptions;
  // Envoy's own default holds where no newer options stand.
  const follows = { sni: wanted?.autoSni ?? options === null, san: wanted?.autoSanValidation ?? options === null };
  if (wanted !== undefined && !message.allowInsecureClusterOptions && !(follows.sni && follows.san)) {
    problems.invalid(
      `${path}.allow_insecure_cluster_options`,
      "is needed where auto_sni or auto_san_validation is not set",
    );
  }
  return cache === null ? null : { cache, sendsHostName: follows.sni, verifiesHostName: follows.san };
}
