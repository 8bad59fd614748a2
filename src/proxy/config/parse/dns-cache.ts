// envoy.extensions.common.dynamic_forward_proxy.v3.DnsCacheConfig to a cache's settings.
import type { DnsCacheConfig as DnsCacheMessage } from "#wire/gen/envoy/extensions/common/dynamic_forward_proxy/v3/dns_cache_pb.ts";
import type { DnsCacheConfig } from "../dns-cache.ts";
import type { Problems } from "../problems.ts";
import { parseFailureRefresh, parseLookupFamily } from "./dns.ts";
import { milliseconds } from "./values.ts";

/** Null, and a problem, where there is no cache. */
export function parseDnsCache(
  message: DnsCacheMessage | undefined,
  path: string,
  problems: Problems,
): DnsCacheConfig | null {
  if (message === undefined) {
    problems.invalid(path, "is missing");
    return null;
  }
  if (message.name === "") problems.invalid(`${path}.name`, "is missing");
  const times = {
    refreshMs: atLeast(1, milliseconds(message.dnsRefreshRate, 60_000), `${path}.dns_refresh_rate`, problems),
    minRefreshMs: atLeast(
      1000,
      milliseconds(message.dnsMinRefreshRate, 5000),
      `${path}.dns_min_refresh_rate`,
      problems,
    ),
    hostTtlMs: atLeast(1, milliseconds(message.hostTtl, 300_000), `${path}.host_ttl`, problems),
  };
  if (message.maxHosts === 0) problems.invalid(`${path}.max_hosts`, "is below 1");
  const ownResolver = message.typedDnsResolverConfig !== undefined || message.dnsResolutionConfig !== undefined;
  if (ownResolver) {
    problems.replaced(`${path}.typed_dns_resolver_config`, "a resolver of its own", "the system's resolver is used");
  }
  if (message.useTcpForDnsLookups) problems.leftOut(`${path}.use_tcp_for_dns_lookups`, "DNS over TCP only");
  if (message.preresolveHostnames.length > 0) {
    problems.leftOut(`${path}.preresolve_hostnames`, "lookups before anybody asks");
  }
  if (message.keyValueConfig !== undefined) problems.unsupported(`${path}.key_value_config`, "a cache that is stored");
  return {
    name: message.name,
    family: parseLookupFamily(message.dnsLookupFamily),
    ...times,
    failureRefresh: parseFailureRefresh(message.dnsFailureRefreshRate, `${path}.dns_failure_refresh_rate`, problems),
    maxHosts: message.maxHosts ?? 1024,
    maxPendingRequests: message.dnsCacheCircuitBreaker?.maxPendingRequests ?? 1024,
    queryTimeoutMs: milliseconds(message.dnsQueryTimeout, 5000),
  };
}

function atLeast(least: number, value: number, path: string, problems: Problems): number {
  if (value < least) problems.invalid(path, `is below ${least} ms`);
  return value;
}
