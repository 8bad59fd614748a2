// What a proxyless gRPC client (node metadata GENERATOR=grpc) is given. It asks by name: a listener `host:port` leads to
// a route configuration and on to clusters and endpoints. Made from what a sidecar at the same place would get; a
// client without a sidecar speaks plaintext, as far as its peers permit that.
import { create } from "@bufbuild/protobuf";
import { anyPack } from "@bufbuild/protobuf/wkt";
import type { ProxyNode } from "#mesh/snapshot/proxy-node.ts";
import type { MeshSnapshot } from "#mesh/snapshot/snapshot.ts";
import {
  type Cluster,
  Cluster_DiscoveryType,
  Cluster_LbPolicy,
  ClusterSchema,
} from "#wire/gen/envoy/config/cluster/v3/cluster_pb.ts";
import {
  AggregatedConfigSourceSchema,
  ApiVersion,
  ConfigSourceSchema,
} from "#wire/gen/envoy/config/core/v3/config_source_pb.ts";
import { ApiListenerSchema } from "#wire/gen/envoy/config/listener/v3/api_listener_pb.ts";
import { type Listener, ListenerSchema } from "#wire/gen/envoy/config/listener/v3/listener_pb.ts";
import type { HeaderMatcher, Route, VirtualHost } from "#wire/gen/envoy/config/route/v3/route_components_pb.ts";
import { type RouteConfiguration, RouteConfigurationSchema } from "#wire/gen/envoy/config/route/v3/route_pb.ts";
import { RouterSchema } from "#wire/gen/envoy/extensions/filters/http/router/v3/router_pb.ts";
import {
  HttpConnectionManagerSchema,
  HttpFilterSchema,
  RdsSchema,
} from "#wire/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts";
import type { CompiledMessages } from "../push/compile.ts";

export function isProxyless(node: ProxyNode): boolean {
  return node.metadata["GENERATOR"] === "grpc";
}

/** Turns what was compiled for a sidecar into what a gRPC client understands. */
export function toProxyless(snapshot: MeshSnapshot, node: ProxyNode, compiled: CompiledMessages): CompiledMessages {
  const listeners = new Map<string, Listener>();
  const routes = new Map<string, RouteConfiguration>();
  for (const service of snapshot.scope(node).services) {
    for (const port of service.ports) {
      const routeName = `outbound|${port.number}||${service.hostname}`;
      const host = findVirtualHost(compiled, service.hostname, port.number);
      if (host === undefined) continue;
      const name = `${service.hostname}:${port.number}`;
      listeners.set(name, apiListener(name, routeName));
      routes.set(
        routeName,
        create(RouteConfigurationSchema, { name: routeName, virtualHosts: [forAnyAuthority(host)] }),
      );
    }
  }
  const clusters = new Map<string, Cluster>();
  for (const [name, cluster] of compiled.clusters) {
    const { clusterDiscoveryType: discovery } = cluster;
    if (discovery.case === "type" && discovery.value === Cluster_DiscoveryType.EDS)
      clusters.set(name, edsCluster(cluster));
  }
  return {
    listeners,
    routes,
    clusters,
    endpoints: compiled.endpoints,
    extensions: new Map(),
    extensionOrigins: new Map(),
  };
}

function findVirtualHost(compiled: CompiledMessages, hostname: string, port: number): VirtualHost | undefined {
  const candidates = [compiled.routes.get(`${hostname}:${port}`), compiled.routes.get(String(port))];
  for (const routes of candidates) {
    const host = routes?.virtualHosts.find((entry) => entry.name === `${hostname}:${port}`);
    if (host !== undefined) return host;
  }
  return undefined;
}

/** The listener was found by host and port already, whatever authority the client uses. */
function forAnyAuthority(host: VirtualHost): VirtualHost {
  return { ...host, domains: ["*"], routes: host.routes.map(withOldHeaderMatchers) };
}

/** Clients of some years know no `string_match`, and refuse the whole configuration that has one. */
function withOldHeaderMatchers(route: Route): Route {
  const { match } = route;
  if (match === undefined || match.headers.length === 0) return route;
  return { ...route, match: { ...match, headers: match.headers.map(oldHeaderMatcher) } };
}

function oldHeaderMatcher(matcher: HeaderMatcher): HeaderMatcher {
  const { headerMatchSpecifier } = matcher;
  if (headerMatchSpecifier.case !== "stringMatch" || headerMatchSpecifier.value.ignoreCase) return matcher;
  const { matchPattern } = headerMatchSpecifier.value;
  switch (matchPattern.case) {
    case "exact":
      return { ...matcher, headerMatchSpecifier: { case: "exactMatch", value: matchPattern.value } };
    case "prefix":
      return { ...matcher, headerMatchSpecifier: { case: "prefixMatch", value: matchPattern.value } };
    case "suffix":
      return { ...matcher, headerMatchSpecifier: { case: "suffixMatch", value: matchPattern.value } };
    case "contains":
      return { ...matcher, headerMatchSpecifier: { case: "containsMatch", value: matchPattern.value } };
    case "safeRegex":
      return { ...matcher, headerMatchSpecifier: { case: "safeRegexMatch", value: matchPattern.value } };
    default:
      return matcher;
  }
}

function adsSource(): ReturnType<typeof create<typeof ConfigSourceSchema>> {
  return create(ConfigSourceSchema, {
    configSourceSpecifier: { case: "ads", value: create(AggregatedConfigSourceSchema) },
    resourceApiVersion: ApiVersion.V3,
  });
}

function apiListener(name: string, routeConfigName: string): Listener {
  const router = create(HttpFilterSchema, {
    name: "envoy.filters.http.router",
    configType: { case: "typedConfig", value: anyPack(RouterSchema, create(RouterSchema)) },
  });
  const manager = create(HttpConnectionManagerSchema, {
    statPrefix: name,
    routeSpecifier: { case: "rds", value: create(RdsSchema, { routeConfigName, configSource: adsSource() }) },
    httpFilters: [router],
  });
  return create(ListenerSchema, {
    name,
    apiListener: create(ApiListenerSchema, { apiListener: anyPack(HttpConnectionManagerSchema, manager) }),
  });
}

function edsCluster(cluster: Cluster): Cluster {
  return create(ClusterSchema, {
    name: cluster.name,
    clusterDiscoveryType: { case: "type", value: Cluster_DiscoveryType.EDS },
    edsClusterConfig: { edsConfig: adsSource(), serviceName: cluster.edsClusterConfig?.serviceName || cluster.name },
    // Clients without the least-request experiment refuse the whole cluster when it names that policy.
    lbPolicy: Cluster_LbPolicy.ROUND_ROBIN,
    ...(cluster.circuitBreakers !== undefined && { circuitBreakers: cluster.circuitBreakers }),
    ...(cluster.outlierDetection !== undefined && { outlierDetection: cluster.outlierDetection }),
  });
}
