// HOT: per request. Authority to virtual host, request to the first route that matches, a draw among weighted clusters.
import type {
  RouteConfig,
  RouteEntry,
  RouteFilterConfigs,
  RouteMatch,
  VirtualHost,
  WeightedCluster,
} from "../config/http.ts";
import type { RuntimeShare } from "../config/runtime.ts";
import type { Trace } from "../config/trace.ts";
import { traceDecision, traceNoHost, traceNoRoute } from "./route-trace.ts";

export interface RouteRequest {
  /** Host header or :authority, as received. */
  readonly authority: string;
  /** With query, as received (after normalization). */
  readonly path: string;
  /** By name in lower case, `:path`, `:method`, `:authority` and `:scheme` included. */
  header(name: string): string | undefined;
  /** What filters said of the request, by filter. */
  metadata(filter: string): unknown;
  /** How many requests are meant, as the runtime says it. */
  share(share: RuntimeShare): number;
  /** The client's certificate: absent, presented, or verified too. */
  readonly clientCertificate: ClientCertificate;
}

export type ClientCertificate = "none" | "presented" | "validated";

export interface RouteDecision {
  readonly virtualHost: VirtualHost;
  readonly route: RouteEntry;
  /** Null when the route redirects or answers itself. */
  readonly cluster: WeightedCluster | null;
}

/**
 * Chooses virtual host, route and cluster; null is Envoy's 404 with flag NR. `random` is a draw from [0, 1).
 */
export function selectRoute(
  config: RouteConfig,
  request: RouteRequest,
  random: number,
  trace: Trace | null,
): RouteDecision | null {
  const virtualHost = config.index.find(matchableAuthority(config, request.authority));
  if (virtualHost === null) {
    if (trace !== null) traceNoHost(trace, config, request);
    return null;
  }
  const path = matchablePath(config, request.path);
  const route = firstRoute(virtualHost, request, path, random);
  if (route === null) {
    if (trace !== null) traceNoRoute(trace, virtualHost, request);
    return null;
  }
  const cluster = selectCluster(route, request, random);
  const decision: RouteDecision = { virtualHost, route, cluster };
  if (trace !== null) traceDecision(trace, config, request, decision);
  return decision;
}

function firstRoute(
  { routes, routeIndex }: VirtualHost,
  request: RouteRequest,
  path: string,
  random: number,
): RouteEntry | null {
  if (routeIndex !== null) {
    routeIndex.start(path);
    for (let i = routeIndex.next(); i >= 0; i = routeIndex.next()) {
      const route = routes[i] as RouteEntry;
      if (matchesRoute(route.match, request, path, random)) return route;
    }
    return null;
  }
  for (let i = 0; i < routes.length; i++) {
    const route = routes[i] as RouteEntry;
    if (matchesRoute(route.match, request, path, random)) return route;
  }
  return null;
}

/** What the chosen route has for filters; null: nothing. */
export function filterConfigsOf(decision: RouteDecision | null): RouteFilterConfigs | null {
  if (decision === null) return null;
  return decision.cluster === null ? decision.route.filters : decision.cluster.filters;
}

/** The authority as virtual hosts are looked up by: lower case, and without its port when the configuration says so. */
function matchableAuthority(config: RouteConfig, authority: string): string {
  const lower = authority.toLowerCase();
  return config.ignorePortInHostMatching ? withoutPort(lower) : lower;
}

/** Cuts the port off an authority. */
export function withoutPort(authority: string): string {
  const colon = authority.lastIndexOf(":");
  if (colon === -1 || authority.indexOf("]", colon) !== -1) return authority;
  // An IPv6 address without brackets has no port.
  if (authority.charCodeAt(0) !== 0x5b && authority.indexOf(":") !== colon) return authority;
  return authority.slice(0, colon);
}

/** The path that routes and policies are chosen by: without query, and without parameters when the table says so. */
export function matchablePath(config: RouteConfig | null, path: string): string {
  const bare = pathWithoutQuery(path);
  return config?.ignorePathParameters === true ? withoutPathParameters(bare) : bare;
}

/** Cuts query and fragment off. */
export function pathWithoutQuery(path: string): string {
  for (let i = 0; i < path.length; i++) {
    const code = path.charCodeAt(i);
    if (code === 0x3f || code === 0x23) return path.slice(0, i);
  }
  return path;
}

/** Cuts the parameters off every segment (`/a;x/b;y` is `/a/b`), in the path and not in the query. */
export function withoutPathParameters(target: string): string {
  if (!target.includes(";")) return target;
  const queryAt = target.indexOf("?");
  if (queryAt < 0) return target.replaceAll(/;[^/]*/g, "");
  return target.slice(0, queryAt).replaceAll(/;[^/]*/g, "") + target.slice(queryAt);
}

export function matchesRoute(match: RouteMatch, request: RouteRequest, path: string, random: number): boolean {
  if (!matchesPath(match.path, request, path)) return false;
  const headers = match.headers;
  for (let i = 0; i < headers.length; i++) {
    const matcher = headers[i] as RouteMatch["headers"][number];
    if (!matcher.matches(request.header(matcher.name))) return false;
  }
  if (match.queryParameters.length > 0 && !matchesQuery(match, request.path)) return false;
  if (match.fraction !== null && otherDraw(random) >= request.share(match.fraction)) return false;
  if (match.clientCertificate !== null && !matchesCertificate(match.clientCertificate, request)) return false;
  const metadata = match.metadata;
  for (let i = 0; i < metadata.length; i++) {
    const matcher = metadata[i] as RouteMatch["metadata"][number];
    if (!matcher.matches(request.metadata(matcher.filter))) return false;
  }
  return true;
}

/** A draw that does not depend on the first one: its lower bits. Weights of a route that takes a share stay right. */
function otherDraw(random: number): number {
  return (random * 0x100000) % 1;
}

function matchesCertificate(wanted: NonNullable<RouteMatch["clientCertificate"]>, request: RouteRequest): boolean {
  const { presented, validated } = wanted;
  const has = request.clientCertificate;
  if (presented !== null && presented !== (has !== "none")) return false;
  return validated === null || validated === (has === "validated");
}

function matchesPath(rule: RouteMatch["path"], request: RouteRequest, path: string): boolean {
  switch (rule.type) {
    case "regex":
      return rule.matcher.matches(path);
    case "connect":
      return path === "" && request.header(":method") === "CONNECT";
    default:
      if (rule.caseSensitive) return matchesLiteral(rule.type, rule.value, path);
      return matchesLiteral(rule.type, rule.value.toLowerCase(), path.toLowerCase());
  }
}

function matchesLiteral(type: "prefix" | "path" | "path_separated_prefix", value: string, path: string): boolean {
  if (type === "path") return path === value;
  if (!path.startsWith(value)) return false;
  return type === "prefix" || path.length === value.length || path.charCodeAt(value.length) === 0x2f;
}

function matchesQuery(match: RouteMatch, path: string): boolean {
  const start = path.indexOf("?");
  const end = path.indexOf("#");
  const query = new URLSearchParams(start === -1 ? "" : path.slice(start + 1, end === -1 ? undefined : end));
  return match.queryParameters.every((parameter) => parameter.matches(query.get(parameter.name) ?? undefined));
}

function selectCluster(route: RouteEntry, request: RouteRequest, random: number): WeightedCluster | null {
  if (route.action.type !== "forward") return null;
  const { clusters, totalWeight, weightHeader } = route.action.forward;
  const chosen = drawWeighted(clusters, totalWeight, weightDraw(weightHeader, totalWeight, request, random));
  if (chosen === null || chosen.clusterHeader === null) return chosen;
  return { ...chosen, name: request.header(chosen.clusterHeader) ?? "" };
}

/** A header may hold the draw; a value that is no number leaves it to chance. */
function weightDraw(name: string | null, totalWeight: number, request: RouteRequest, random: number): number {
  const value = name === null ? undefined : request.header(name);
  if (value === undefined || !/^\d{1,15}$/.test(value)) return random;
  return (Number(value) % totalWeight) / totalWeight;
}

/** Draws among weighted entries; also used by the TCP proxy. Null when every weight is 0. */
export function drawWeighted<T extends { readonly weight: number }>(
  entries: readonly T[],
  totalWeight: number,
  random: number,
): T | null {
  if (entries.length === 1) return entries[0] as T;
  let left = Math.floor(random * totalWeight);
  for (let i = 0; i < entries.length; i++) {
    const entry = entries[i] as T;
    if (left < entry.weight) return entry;
    left -= entry.weight;
  }
  return null;
}
