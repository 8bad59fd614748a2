// How a cluster looks up names.
import { type Cluster, Cluster_DnsLookupFamily as LookupFamily } from "#wire/gen/envoy/config/cluster/v3/cluster_pb.ts";
import type { DnsConfig } from "./cluster.ts";
import { milliseconds } from "./parse/values.ts";
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
    failureRefresh: decodeFailureRefresh(cluster, problems),
    respectsTtl: cluster.respectDnsTtl,
    family: families[cluster.dnsLookupFamily] ?? "auto",
  };
}

function decodeFailureRefresh(cluster: Cluster, problems: Problems): DnsConfig["failureRefresh"] {
  const rate = cluster.dnsFailureRefreshRate;
  if (rate === undefined) return null;
  const baseMs = milliseconds(rate.baseInterval, 0);
  const maxMs = milliseconds(rate.maxInterval, baseMs * 10);
  if (baseMs < 1) problems.invalid("dns_failure_refresh_rate.base_interval", "is below 1 ms");
  if (maxMs < baseMs) problems.invalid("dns_failure_refresh_rate.max_interval", "is below base_interval");
  return { baseMs, maxMs };
}

const families: Readonly<Record<number, DnsConfig["family"]>> = {
  [LookupFamily.AUTO]: "auto",
  [LookupFamily.V4_ONLY]: "v4_only",
  [LookupFamily.V6_ONLY]: "v6_only",
  [LookupFamily.V4_PREFERRED]: "v4_preferred",
  [LookupFamily.ALL]: "all",
};
