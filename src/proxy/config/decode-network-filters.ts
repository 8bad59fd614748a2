// Network filters by type URL. The last one is terminal: tcp_proxy or http_connection_manager.
import type { Any } from "@bufbuild/protobuf/wkt";
import type { Origin } from "#base/issue.ts";
import type { Filter } from "#wire/gen/envoy/config/listener/v3/listener_components_pb.ts";
import { ExtAuthzSchema } from "#wire/gen/envoy/extensions/filters/network/ext_authz/v3/ext_authz_pb.ts";
import { HttpConnectionManagerSchema } from "#wire/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts";
import { RBACSchema } from "#wire/gen/envoy/extensions/filters/network/rbac/v3/rbac_pb.ts";
import { type TcpProxy, TcpProxySchema } from "#wire/gen/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.ts";
import { decodeAccessLogs } from "./decode-access-log.ts";
import { decodeConnectionManager } from "./decode-connection-manager.ts";
import type { NetworkFilterConfig, TcpProxyConfig } from "./listener.ts";
import { denyUnasked, type ShadowRules } from "./parse/external-authorization.ts";
import { decodeRbac } from "./parse/rbac.ts";
import { milliseconds, typeName, unpack } from "./parse/values.ts";
import type { Problems } from "./problems.ts";

export function decodeNetworkFilters(
  filters: readonly Filter[],
  policyOrigins: ReadonlyMap<string, Origin>,
  path: string,
  problems: Problems,
): NetworkFilterConfig[] {
  const shadows: ShadowRules[] = [];
  const decoded = filters.flatMap((filter, i) => {
    const where = `${path}[${i}]`;
    const any = filter.configType.case === "typedConfig" ? filter.configType.value : undefined;
    if (any === undefined) {
      if (filter.configType.case === undefined) problems.invalid(where, `${filter.name} has no configuration`);
      else problems.unsupported(where, `discovery of the filter ${filter.name}`);
      return [];
    }
    return decodeFilter({ name: filter.name, any, policyOrigins, path: where, problems, shadows }) ?? [];
  });
  const last = decoded.at(-1);
  if (last === undefined || !isTerminal(last)) {
    problems.invalid(path, "the last network filter must be tcp_proxy or http_connection_manager");
  }
  if (decoded.slice(0, -1).some(isTerminal)) problems.invalid(path, "a terminal filter must be the last");
  return decoded;
}

function isTerminal(filter: NetworkFilterConfig): boolean {
  return filter.type === "tcp_proxy" || filter.type === "http_connection_manager";
}

interface Place {
  readonly name: string;
  readonly any: Any;
  readonly policyOrigins: ReadonlyMap<string, Origin>;
  readonly path: string;
  readonly problems: Problems;
  /** Of the filters before; a filter adds its own. */
  readonly shadows: ShadowRules[];
}

function decodeFilter(place: Place): NetworkFilterConfig | null {
  const { name, any, policyOrigins, path, problems, shadows } = place;
  switch (typeName(any)) {
    case HttpConnectionManagerSchema.typeName: {
      const manager = unpack(any, HttpConnectionManagerSchema, path, problems);
      if (manager === null) return null;
      return {
        type: "http_connection_manager",
        config: decodeConnectionManager(manager, policyOrigins, path, problems),
      };
    }
    case TcpProxySchema.typeName: {
      const proxy = unpack(any, TcpProxySchema, path, problems);
      return proxy === null ? null : { type: "tcp_proxy", config: decodeTcpProxy(proxy, path, problems) };
    }
    case RBACSchema.typeName: {
      const rbac = unpack(any, RBACSchema, path, problems);
      if (rbac === null) return null;
      if (rbac.matcher !== undefined) problems.unsupported(`${path}.matcher`, "a matching tree");
      const shadowRules = decodeRbac(rbac.shadowRules, policyOrigins, `${path}.shadow_rules`, problems);
      if (shadowRules !== null) shadows.push({ statPrefix: rbac.shadowRulesStatPrefix, rules: shadowRules });
      const rules = decodeRbac(rbac.rules, policyOrigins, `${path}.rules`, problems);
      return { type: "rbac", config: { statPrefix: rbac.statPrefix, rules, shadowRules } };
    }
    case ExtAuthzSchema.typeName: {
      const config = unpack(any, ExtAuthzSchema, path, problems);
      if (config === null) return null;
      const rules = denyUnasked(config.filterEnabledMetadata, shadows, path, problems);
      return { type: "rbac", config: { statPrefix: config.statPrefix, rules, shadowRules: null } };
    }
    case "stats.PluginConfig":
      return { type: "istio_stats" };
    case "envoy.tcp.metadataexchange.config.MetadataExchange":
      return { type: "metadata_exchange" };
    default:
      problems.unsupported(path, `the network filter ${name} (${typeName(any)})`);
      return null;
  }
}

function decodeTcpProxy(proxy: TcpProxy, path: string, problems: Problems): TcpProxyConfig {
  if (proxy.tunnelingConfig !== undefined) problems.unsupported(`${path}.tunneling_config`, "tunneling over HTTP");
  if (proxy.metadataMatch !== undefined) problems.unsupported(`${path}.metadata_match`, "subset selection by metadata");
  const clusters = tcpClusters(proxy, path, problems);
  return {
    statPrefix: proxy.statPrefix,
    clusters,
    totalWeight: clusters.reduce((sum, cluster) => sum + cluster.weight, 0),
    idleTimeoutMs: milliseconds(proxy.idleTimeout, 3_600_000),
    accessLog: decodeAccessLogs(proxy.accessLog, `${path}.access_log`, problems),
  };
}

function tcpClusters(proxy: TcpProxy, path: string, problems: Problems): TcpProxyConfig["clusters"] {
  const specifier = proxy.clusterSpecifier;
  if (specifier.case === "cluster") return [{ name: specifier.value, weight: 1 }];
  if (specifier.case === "weightedClusters") {
    const clusters = specifier.value.clusters.map(({ name, weight }) => ({ name, weight }));
    if (clusters.every((cluster) => cluster.weight === 0)) problems.invalid(path, "the sum of weights is 0");
    return clusters;
  }
  problems.invalid(path, "names no cluster");
  return [];
}
