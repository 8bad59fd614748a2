// envoy.config.route.v3.RouteConfiguration to a route table.
import {
  type Decorator,
  type VirtualHost as EnvoyVirtualHost,
  type Route,
  VirtualHost_TlsRequirementType as TlsRequirement,
} from "#wire/gen/envoy/config/route/v3/route_components_pb.ts";
import type { RouteConfiguration } from "#wire/gen/envoy/config/route/v3/route_pb.ts";
import { indexRoutes } from "../route/route-index.ts";
import { indexVirtualHosts } from "../route/virtual-host-index.ts";
import { decodeRouteFilters } from "./decode-http-filters.ts";
import { decodeDirectResponse, decodeRedirect } from "./decode-route-answer.ts";
import { decodeForward, type RouteContext } from "./decode-route-forward.ts";
import {
  noHeaderMutations,
  type RouteAction,
  type RouteConfig,
  type RouteEntry,
  type RouteFilterConfigs,
  type VirtualHost,
} from "./http.ts";
import { decodeHeaderMutations } from "./parse/header-mutations.ts";
import { decodeRateLimits } from "./parse/rate-limit.ts";
import { decodeMatch } from "./parse/route-match.ts";
import { provenanceOf } from "./parse/values.ts";
import { type Decoded, Problems } from "./problems.ts";
import type { RouteRateLimits } from "./rate-limit.ts";

/** Decodes an RDS resource. */
export function decodeRoute(config: RouteConfiguration): Decoded<RouteConfig> {
  const problems = new Problems("route", config.name);
  if (config.name === "") problems.invalid("name", "is missing");
  return problems.done(decodeRouteConfig(config, "", problems));
}

/** Decodes a route configuration of its own or inline in a connection manager; `path` ends with a dot or is empty. */
export function decodeRouteConfig(config: RouteConfiguration, path: string, problems: Problems): RouteConfig {
  const vhds = config.vhds === undefined ? 0 : 1;
  if (vhds > 0) problems.unsupported(`${path}vhds`, "virtual host discovery");
  const filters = decodeRouteFilters(config.typedPerFilterConfig, null, path === "" ? "route" : path, problems);
  const virtualHosts = config.virtualHosts.map((host, i) =>
    decodeVirtualHost(host, filters, `${path}virtual_hosts[${i}]`, problems),
  );
  const indexed = indexVirtualHosts(virtualHosts);
  for (const problem of indexed.problems) problems.invalid(`${path}virtual_hosts`, problem);
  return {
    name: config.name,
    headers: decodeHeaderMutations(config, path === "" ? "route" : path, problems),
    mostSpecificHeadersWin: config.mostSpecificHeaderMutationsWins,
    internalOnlyHeaders: config.internalOnlyHeaders.map((name) => name.toLowerCase()),
    ignorePortInHostMatching: config.ignorePortInHostMatching,
    ignorePathParameters: config.ignorePathParametersInPathMatching,
    virtualHosts,
    index: indexed.index,
  };
}

function decodeVirtualHost(
  host: EnvoyVirtualHost,
  outerFilters: RouteFilterConfigs | null,
  path: string,
  problems: Problems,
): VirtualHost {
  if (host.name === "") problems.invalid(`${path}.name`, "is missing");
  if (host.domains.length === 0) problems.invalid(`${path}.domains`, "is empty");
  if (host.matcher !== undefined) problems.unsupported(`${path}.matcher`, "a matching tree");
  if (host.requireTls === TlsRequirement.EXTERNAL_ONLY) {
    problems.unsupported(`${path}.require_tls`, "a redirect to TLS of external requests only");
  }
  const filters = decodeRouteFilters(host.typedPerFilterConfig, outerFilters, path, problems);
  const routes = [
    ...(host.requireTls === TlsRequirement.ALL ? [redirectToTls(provenanceOf(host.metadata))] : []),
    ...host.routes.map((route, i) => decodeEntry(route, host, filters, `${path}.routes[${i}]`, problems)),
  ];
  return {
    name: host.name,
    domains: host.domains,
    routes,
    routeIndex: indexRoutes(routes),
    includeAttemptCount: host.includeRequestAttemptCount,
    includeAttemptCountInResponse: host.includeAttemptCountInResponse,
    headers: decodeHeaderMutations(host, path, problems),
    rateLimits: decodeRateLimits(host.rateLimits, `${path}.rate_limits`, problems),
    provenance: provenanceOf(host.metadata),
  };
}

/** A virtual host that requires TLS answers every other request with its own address under https. */
function redirectToTls(provenance: RouteEntry["provenance"]): RouteEntry {
  const redirect = { status: 301, scheme: "https", host: null, port: null, path: null };
  return {
    name: "require_tls",
    match: {
      path: { type: "prefix", value: "", caseSensitive: true },
      headers: [{ name: ":scheme", matches: (scheme) => scheme !== "https", description: "plaintext" }],
      queryParameters: [],
      metadata: [],
      clientCertificate: null,
      fraction: null,
      description: "plaintext",
    },
    action: {
      type: "redirect",
      redirect: { ...redirect, prefixRewrite: null, regexRewrite: null, stripQuery: false },
    },
    headers: noHeaderMutations,
    filters: null,
    rateLimits: null,
    metadata: {},
    decorator: "",
    statPrefix: "",
    provenance,
  };
}

function decodeEntry(
  route: Route,
  host: EnvoyVirtualHost,
  outerFilters: RouteFilterConfigs | null,
  path: string,
  problems: Problems,
): RouteEntry {
  const filters = decodeRouteFilters(route.typedPerFilterConfig, outerFilters, path, problems);
  const match = decodeMatch(route.match, `${path}.match`, problems);
  return {
    name: route.name,
    match,
    action: decodeAction(route, { match, host, filters }, path, problems),
    headers: decodeHeaderMutations(route, path, problems),
    filters,
    rateLimits: decodeRouteRateLimits(route, path, problems),
    metadata: route.metadata?.filterMetadata ?? {},
    decorator: operationOf(route.decorator),
    statPrefix: route.statPrefix,
    provenance: provenanceOf(route.metadata),
  };
}

/** Only a route that forwards has rules of its own. */
function decodeRouteRateLimits({ action }: Route, path: string, problems: Problems): RouteRateLimits | null {
  if (action.case !== "route") return null;
  const { rateLimits, includeVhRateLimits } = action.value;
  const includesVirtualHost = includeVhRateLimits ?? false;
  if (rateLimits.length === 0 && !includesVirtualHost) return null;
  return { rules: decodeRateLimits(rateLimits, `${path}.route.rate_limits`, problems), includesVirtualHost };
}

function operationOf(decorator: Decorator | undefined): string {
  return decorator?.operation ?? "";
}

function decodeAction(route: Route, context: RouteContext, path: string, problems: Problems): RouteAction {
  const action = route.action;
  switch (action.case) {
    case "route":
      return { type: "forward", forward: decodeForward(action.value, context, `${path}.route`, problems) };
    case "redirect":
      return { type: "redirect", redirect: decodeRedirect(action.value, `${path}.redirect`, problems) };
    case "directResponse":
      return decodeDirectResponse(action.value, `${path}.direct_response`, problems);
    case undefined:
      problems.invalid(path, "names no action");
      break;
    default:
      problems.unsupported(path, `the action ${action.case}`);
  }
  return { type: "direct_response", status: 500, body: "" };
}
