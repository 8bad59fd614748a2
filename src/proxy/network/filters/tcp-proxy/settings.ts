// envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy to the settings of the filter.
import type { JsonObject } from "@bufbuild/protobuf";
import type { Metadata } from "#wire/gen/envoy/config/core/v3/base_pb.ts";
import type { TcpProxy } from "#wire/gen/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.ts";
import type { AccessLogger } from "../../../config/access-log.ts";
import { milliseconds } from "../../../config/parse/values.ts";
import type { Problems } from "../../../config/problems.ts";
import type { FilterPlace } from "../../filter.ts";
import { parseTunnel, type TunnelSettings } from "./tunnel-settings.ts";

export interface TcpProxySettings {
  /** `tcp.<stat_prefix>.` */
  readonly statPrefix: string;
  /** One entry with weight 1 for a plain cluster. */
  readonly clusters: readonly TcpDestination[];
  readonly totalWeight: number;
  /** No byte in either direction for so long ends the connection; 0 disables. */
  readonly idleTimeoutMs: number;
  /** 0 disables. */
  readonly maxDurationMs: number;
  readonly maxConnectAttempts: number;
  /** A consistent balancer hashes the client's address; else it chooses at random. */
  readonly hashesSourceIp: boolean;
  /** Null: bytes go to the endpoint as they are. */
  readonly tunnel: TunnelSettings | null;
  readonly accessLog: readonly AccessLogger[];
  /** Writes the access log each time this has passed too; 0: at the end only. */
  readonly accessLogIntervalMs: number;
  readonly logsOnConnect: boolean;
}

interface TcpDestination {
  readonly name: string;
  readonly weight: number;
  /** `envoy.lb` metadata that an endpoint must have; null: any. */
  readonly metadataMatch: JsonObject | null;
}

export function parseTcpProxy(proxy: TcpProxy, place: FilterPlace): TcpProxySettings {
  const { path, problems, accessLogs } = place;
  if (proxy.onDemand !== undefined) problems.leftOut(`${path}.on_demand`, "discovery of clusters on demand");
  for (const [field, value] of [
    ["downstream_idle_timeout", proxy.downstreamIdleTimeout],
    ["upstream_idle_timeout", proxy.upstreamIdleTimeout],
  ] as const) {
    if (value !== undefined) problems.leftOut(`${path}.${field}`, "an idle timeout of one side (nor by Envoy's)");
  }
  if (proxy.statPrefix === "") problems.invalid(`${path}.stat_prefix`, "is missing");
  const clusters = destinations(proxy, path, problems);
  const options = proxy.accessLogOptions;
  const interval = options?.accessLogFlushInterval ?? proxy.accessLogFlushInterval;
  return {
    statPrefix: `tcp.${proxy.statPrefix}.`,
    clusters,
    totalWeight: clusters.reduce((sum, cluster) => sum + cluster.weight, 0),
    idleTimeoutMs: milliseconds(proxy.idleTimeout, 3_600_000),
    maxDurationMs: milliseconds(proxy.maxDownstreamConnectionDuration, 0),
    maxConnectAttempts: Math.max(1, proxy.maxConnectAttempts ?? 1),
    hashesSourceIp: hashesSourceIp(proxy, path, problems),
    tunnel: proxy.tunnelingConfig === undefined ? null : parseTunnel(proxy.tunnelingConfig, path, place),
    accessLog: accessLogs(proxy.accessLog, `${path}.access_log`),
    accessLogIntervalMs: milliseconds(interval, 0),
    logsOnConnect: options?.flushAccessLogOnConnected ?? proxy.flushAccessLogOnConnected,
  };
}

function destinations(proxy: TcpProxy, path: string, problems: Problems): TcpDestination[] {
  const specifier = proxy.clusterSpecifier;
  const everywhere = endpointMetadata(proxy.metadataMatch, `${path}.metadata_match`, problems);
  if (specifier.case === "cluster") return [{ name: specifier.value, weight: 1, metadataMatch: everywhere }];
  if (specifier.case === "weightedClusters") {
    const clusters = specifier.value.clusters.map(({ name, weight, metadataMatch }, i) => {
      const where = `${path}.weighted_clusters.clusters[${i}].metadata_match`;
      const own = endpointMetadata(metadataMatch, where, problems);
      return { name, weight, metadataMatch: own === null ? everywhere : { ...everywhere, ...own } };
    });
    if (clusters.every((cluster) => cluster.weight === 0)) problems.invalid(path, "the sum of weights is 0");
    return clusters;
  }
  problems.invalid(path, "names no cluster");
  return [];
}

function endpointMetadata(metadata: Metadata | undefined, path: string, problems: Problems): JsonObject | null {
  const { "envoy.lb": match, ...others } = metadata?.filterMetadata ?? {};
  for (const name of Object.keys(others)) problems.leftOut(path, `metadata of ${name}`);
  return match === undefined || Object.keys(match).length === 0 ? null : match;
}

function hashesSourceIp(proxy: TcpProxy, path: string, problems: Problems): boolean {
  const policy = proxy.hashPolicy[0]?.policySpecifier;
  if (proxy.hashPolicy.length > 1) problems.invalid(`${path}.hash_policy`, "may have one entry");
  if (policy?.case === "filterState") problems.leftOut(`${path}.hash_policy`, "hashing of filter state");
  return policy?.case === "sourceIp";
}
