// For tests: compiled resources in a few words per line, and the question "where does this request go".
import { toJson } from "@bufbuild/protobuf";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import { type Cluster, Cluster_DiscoveryType } from "#wire/gen/envoy/config/cluster/v3/cluster_pb.ts";
import type { FilterChain } from "#wire/gen/envoy/config/listener/v3/listener_components_pb.ts";
import type { Listener } from "#wire/gen/envoy/config/listener/v3/listener_pb.ts";
import type { HeaderMatcher, Route } from "#wire/gen/envoy/config/route/v3/route_components_pb.ts";
import type { RouteConfiguration } from "#wire/gen/envoy/config/route/v3/route_pb.ts";
import {
  type HttpConnectionManager,
  HttpConnectionManagerSchema,
} from "#wire/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts";
import { TcpProxySchema } from "#wire/gen/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.ts";
import { type StringMatcher, StringMatcherSchema } from "#wire/gen/envoy/type/matcher/v3/string_pb.ts";

/** One line per chain: name, match, where it leads. The default chain comes last. */
export function describeListener(listener: Listener | undefined): string[] {
  if (listener === undefined) return ["no such listener"];
  const chains = listener.filterChains.map(describeChain);
  return listener.defaultFilterChain === undefined
    ? chains
    : [...chains, `else ${describeChain(listener.defaultFilterChain)}`];
}

export function describeChain(chain: FilterChain): string {
  const match = chain.filterChainMatch;
  const parts = [
    match?.destinationPort === undefined ? "" : `:${match.destinationPort}`,
    ...(match?.prefixRanges ?? []).map((range) => `${range.addressPrefix}/${range.prefixLen}`),
    match?.serverNames.length ? `sni ${match.serverNames.join()}` : "",
    match?.transportProtocol ?? "",
    match?.applicationProtocols.join() ?? "",
  ].filter((part) => part !== "");
  const tls = chain.transportSocket === undefined ? "" : "ends TLS ";
  const name = chain.name === "" ? "" : `${chain.name} `;
  return `${name}[${parts.join(" ") || "any"}] ${tls}-> ${describeTarget(chain)}`;
}

function describeTarget(chain: FilterChain): string {
  const last = chain.filters.at(-1)?.configType;
  if (last?.case !== "typedConfig") return "nothing";
  const manager = anyUnpack(last.value, HttpConnectionManagerSchema);
  if (manager !== undefined) {
    const { routeSpecifier: routes } = manager;
    if (routes.case === "rds") return `route ${routes.value.routeConfigName}`;
    return routes.case === "routeConfig" ? `inline route ${routes.value.name}` : "no route";
  }
  const proxy = anyUnpack(last.value, TcpProxySchema)?.clusterSpecifier;
  if (proxy?.case === "cluster") return proxy.value;
  if (proxy?.case !== "weightedClusters") return "nothing";
  return proxy.value.clusters.map(({ name, weight }) => `${weight}:${name}`).join(" ");
}

export function httpManager(chain: FilterChain | undefined): HttpConnectionManager | undefined {
  const last = chain?.filters.at(-1)?.configType;
  return last?.case === "typedConfig" ? anyUnpack(last.value, HttpConnectionManagerSchema) : undefined;
}

export function filterNames(chain: FilterChain | undefined): string[] {
  return (httpManager(chain)?.httpFilters ?? chain?.filters ?? []).map(({ name }) => name);
}

export function describeCluster(cluster: Cluster | undefined): string {
  if (cluster === undefined) return "no such cluster";
  const { clusterDiscoveryType: discovery } = cluster;
  const type = Object.entries(Cluster_DiscoveryType).find(([, value]) => value === discovery.value)?.[0] ?? "custom";
  const sockets =
    cluster.transportSocketMatches.length > 0
      ? cluster.transportSocketMatches.map(({ name }) => name).join()
      : (cluster.transportSocket?.name ?? "plaintext");
  return `${type} ${sockets}`;
}

export interface SampleRequest {
  readonly host: string;
  readonly path?: string;
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** The first route that takes the request, in words: clusters by weight, redirect, answer, or why there is none. */
export function whereGoes(routes: RouteConfiguration | undefined, request: SampleRequest): string {
  const route = findRoute(routes, request);
  if (typeof route === "string") return route;
  const { action } = route;
  if (action.case === "directResponse") return `answers ${action.value.status}`;
  if (action.case === "redirect") return `redirects to ${action.value.hostRedirect}`;
  if (action.case !== "route") return "no action";
  const clusters = action.value.clusterSpecifier;
  if (clusters.case === "cluster") return clusters.value;
  if (clusters.case !== "weightedClusters") return "no cluster";
  return clusters.value.clusters.map(({ name, weight }) => `${weight}:${name}`).join(" ");
}

export function findRoute(routes: RouteConfiguration | undefined, request: SampleRequest): Route | string {
  const named = request.host.toLowerCase();
  const host = routes?.ignorePortInHostMatching === false ? named : named.replace(/:\d+$/, "");
  const hosts = routes?.virtualHosts ?? [];
  const wildcards = hosts.flatMap((item) =>
    item.domains.filter((domain) => domain.startsWith("*.")).map((domain) => ({ item, domain })),
  );
  const virtualHost =
    hosts.find(({ domains }) => domains.some((domain) => domain.toLowerCase() === host)) ??
    wildcards.sort((a, b) => b.domain.length - a.domain.length).find(({ domain }) => host.endsWith(domain.slice(1)))
      ?.item ??
    hosts.find(({ domains }) => domains.includes("*"));
  if (virtualHost === undefined) return "no virtual host";
  return virtualHost.routes.find((route) => takes(route, request)) ?? "no route";
}

function takes({ match }: Route, request: SampleRequest): boolean {
  const path = (request.path ?? "/").replace(/\?.*/, "");
  const specifier = match?.pathSpecifier;
  const isPath =
    (specifier?.case === "prefix" && path.startsWith(specifier.value)) ||
    (specifier?.case === "pathSeparatedPrefix" && `${path}/`.startsWith(`${specifier.value}/`)) ||
    (specifier?.case === "path" && path === specifier.value) ||
    (specifier?.case === "safeRegex" && new RegExp(`^(?:${specifier.value.regex})$`).test(path));
  const headers: Readonly<Record<string, string>> = {
    ":method": request.method ?? "GET",
    ":authority": request.host,
    ":scheme": "http",
    ...request.headers,
  };
  return isPath && (match?.headers ?? []).every((matcher) => holds(matcher, headers[matcher.name]));
}

function holds(matcher: HeaderMatcher, value: string | undefined): boolean {
  const specifier = matcher.headerMatchSpecifier;
  if (specifier.case === "presentMatch") return (value !== undefined) !== matcher.invertMatch;
  if (specifier.case !== "stringMatch") return false;
  const present = value ?? (matcher.treatMissingHeaderAsEmpty ? "" : undefined);
  if (present === undefined) return false;
  return matches(specifier.value, present) !== matcher.invertMatch;
}

function matches(matcher: StringMatcher, value: string): boolean {
  const { matchPattern: pattern } = matcher;
  if (pattern.case === "exact") return value === pattern.value;
  if (pattern.case === "prefix") return value.startsWith(pattern.value);
  if (pattern.case === "safeRegex") return new RegExp(`^(?:${pattern.value.regex})$`).test(value);
  throw new Error(`matcher ${JSON.stringify(toJson(StringMatcherSchema, matcher))} is not for these tests`);
}
