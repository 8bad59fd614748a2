// envoy.config.route.v3.RouteConfiguration to a route table.
import {
  type Decorator,
  type DirectResponseAction,
  type RedirectAction as EnvoyRedirect,
  type RetryPolicy as EnvoyRetryPolicy,
  type RouteAction as EnvoyRouteAction,
  type RouteMatch as EnvoyRouteMatch,
  type VirtualHost as EnvoyVirtualHost,
  type WeightedCluster as EnvoyWeightedCluster,
  RedirectAction_RedirectResponseCode as RedirectCode,
  type Route,
  VirtualHost_TlsRequirementType as TlsRequirement,
} from "#wire/gen/envoy/config/route/v3/route_components_pb.ts";
import type { RouteConfiguration } from "#wire/gen/envoy/config/route/v3/route_pb.ts";
import { indexVirtualHosts } from "../route/virtual-host-index.ts";
import { decodeRouteFilters } from "./decode-http-filters.ts";
import { decodeRetry } from "./decode-retry.ts";
import {
  type ForwardAction,
  type HeaderMutations,
  noHeaderMutations,
  type RedirectAction,
  type RouteAction,
  type RouteConfig,
  type RouteEntry,
  type RouteFilterConfigs,
  type RouteMatch,
  type VirtualHost,
  type WeightedCluster,
} from "./http.ts";
import { decodeHeaderMutations } from "./parse/header-mutations.ts";
import { decodeHeaderMatcher, decodeQueryMatcher, decodeRegexRewrite, regexMatcher } from "./parse/matcher.ts";
import { inlineText, milliseconds, provenanceOf } from "./parse/values.ts";
import { type Decoded, Problems } from "./problems.ts";

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
  const outer = decodeHeaderMutations(config, path === "" ? "route" : path, problems);
  if (outer !== noHeaderMutations) problems.unsupported(`${path}request_headers_to_add`, "headers of a whole table");
  const filters = decodeRouteFilters(config.typedPerFilterConfig, null, path === "" ? "route" : path, problems);
  const virtualHosts = config.virtualHosts.map((host, i) =>
    decodeVirtualHost(host, filters, `${path}virtual_hosts[${i}]`, problems),
  );
  const indexed = indexVirtualHosts(virtualHosts);
  for (const problem of indexed.problems) problems.invalid(`${path}virtual_hosts`, problem);
  return {
    name: config.name,
    ignorePortInHostMatching: config.ignorePortInHostMatching,
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
  return {
    name: host.name,
    domains: host.domains,
    routes: [
      ...(host.requireTls === TlsRequirement.ALL ? [redirectToTls(provenanceOf(host.metadata))] : []),
      ...host.routes.map((route, i) => decodeEntry(route, host, filters, `${path}.routes[${i}]`, problems)),
    ],
    includeAttemptCount: host.includeRequestAttemptCount,
    headers: decodeHeaderMutations(host, path, problems),
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
      description: "plaintext",
    },
    action: {
      type: "redirect",
      redirect: { ...redirect, prefixRewrite: null, regexRewrite: null, stripQuery: false },
    },
    headers: noHeaderMutations,
    filters: null,
    decorator: "",
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
    action: decodeAction(route, { match, hostRetry: host.retryPolicy, filters }, path, problems),
    headers: decodeHeaderMutations(route, path, problems),
    filters,
    decorator: operationOf(route.decorator),
    provenance: provenanceOf(route.metadata),
  };
}

function operationOf(decorator: Decorator | undefined): string {
  return decorator?.operation ?? "";
}

/** Nothing here writes the metadata that the route asks for, so the route takes no request, and the others go on. */
const noMetadata: RouteMatch["headers"][number] = {
  name: ":path",
  matches: () => false,
  description: "metadata (never there)",
};

function decodeMatch(match: EnvoyRouteMatch | undefined, path: string, problems: Problems): RouteMatch {
  const caseSensitive = match?.caseSensitive ?? true;
  const pathRule = decodePath(match, caseSensitive, path, problems);
  const headers = (match?.headers ?? []).map((it, i) => decodeHeaderMatcher(it, `${path}.headers[${i}]`, problems));
  const queryParameters = (match?.queryParameters ?? []).map((it, i) =>
    decodeQueryMatcher(it, `${path}.query_parameters[${i}]`, problems),
  );
  if (match?.grpc !== undefined) headers.push(grpcOnly);
  if (match?.runtimeFraction !== undefined) problems.unsupported(`${path}.runtime_fraction`, "matching a share");
  if (match?.tlsContext !== undefined) problems.unsupported(`${path}.tls_context`, "matching by TLS state");
  if ((match?.dynamicMetadata.length ?? 0) > 0) {
    problems.leftOut(`${path}.dynamic_metadata`, "matching metadata (the route matches nothing)");
    headers.push(noMetadata);
  }
  const words = [
    describePath(pathRule),
    ...headers.map((it) => it.description),
    ...queryParameters.map((it) => it.description),
  ];
  return { path: pathRule, headers, queryParameters, description: words.join(" and ") };
}

const grpcOnly: RouteMatch["headers"][number] = {
  name: "content-type",
  matches: (value) => value !== undefined && /^application\/grpc(\+|;|$)/.test(value),
  description: "gRPC",
};

function decodePath(
  match: EnvoyRouteMatch | undefined,
  caseSensitive: boolean,
  path: string,
  problems: Problems,
): RouteMatch["path"] {
  const specifier = match?.pathSpecifier;
  switch (specifier?.case) {
    case "prefix":
      return { type: "prefix", value: specifier.value, caseSensitive };
    case "path":
      return { type: "path", value: specifier.value, caseSensitive };
    case "pathSeparatedPrefix":
      return { type: "path_separated_prefix", value: specifier.value, caseSensitive };
    case "safeRegex":
      return { type: "regex", matcher: regexMatcher(specifier.value.regex, `${path}.safe_regex`, problems) };
    case "connectMatcher":
      problems.unsupported(`${path}.connect_matcher`, "matching CONNECT");
      break;
    case "pathMatchPolicy":
      problems.unsupported(`${path}.path_match_policy`, "a path template");
      break;
    default:
      problems.invalid(path, "names no path");
  }
  return { type: "prefix", value: "/", caseSensitive };
}

function describePath(rule: RouteMatch["path"]): string {
  if (rule.type === "regex") return `path ${rule.matcher.description}`;
  const kind = rule.type === "path" ? "path" : rule.type === "prefix" ? "prefix" : "path prefix";
  return `${kind} "${rule.value}"${rule.caseSensitive ? "" : " (any case)"}`;
}

/** What a route's action needs of the rest of the route. */
interface RouteContext {
  readonly match: RouteMatch;
  readonly hostRetry: EnvoyRetryPolicy | undefined;
  readonly filters: RouteFilterConfigs | null;
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

function decodeForward(
  action: EnvoyRouteAction,
  { match, hostRetry, filters }: RouteContext,
  path: string,
  problems: Problems,
): ForwardAction {
  reportLeftOut(action, path, problems);
  const clusters = decodeClusters(action, filters, path, problems);
  const host = action.hostRewriteSpecifier;
  if (host.case === "hostRewriteHeader" || host.case === "hostRewritePathRegex") {
    problems.unsupported(
      `${path}.${host.case === "hostRewriteHeader" ? "host_rewrite_header" : "host_rewrite_path_regex"}`,
      "this host rewrite",
    );
  }
  return {
    clusters,
    totalWeight: clusters.reduce((sum, cluster) => sum + cluster.weight, 0),
    timeoutMs: milliseconds(action.timeout, 15_000),
    retry: decodeRetry(action.retryPolicy ?? hostRetry, `${path}.retry_policy`, problems),
    prefixRewrite: decodePrefixRewrite(action.prefixRewrite, match, `${path}.prefix_rewrite`, problems),
    regexRewrite: decodeRegexRewrite(action.regexRewrite, `${path}.regex_rewrite`, problems),
    hostRewrite: host.case === "hostRewriteLiteral" ? host.value : null,
    autoHostRewrite: host.case === "autoHostRewrite" && host.value.value,
  };
}

function reportLeftOut(action: EnvoyRouteAction, path: string, problems: Problems): void {
  if (action.requestMirrorPolicies.length > 0) problems.leftOut(`${path}.request_mirror_policies`, "mirroring");
  if (action.hashPolicy.length > 0) problems.leftOut(`${path}.hash_policy`, "consistent hashing by request");
  if (action.rateLimits.length > 0) problems.leftOut(`${path}.rate_limits`, "rate limiting");
  if (action.internalRedirectPolicy !== undefined)
    problems.leftOut(`${path}.internal_redirect_policy`, "following redirects");
  if (action.metadataMatch !== undefined)
    problems.unsupported(`${path}.metadata_match`, "subset selection by metadata");
  if (action.pathRewritePolicy !== undefined) problems.unsupported(`${path}.path_rewrite_policy`, "a path template");
}

function decodeClusters(
  action: EnvoyRouteAction,
  filters: RouteFilterConfigs | null,
  path: string,
  problems: Problems,
): WeightedCluster[] {
  const specifier = action.clusterSpecifier;
  switch (specifier.case) {
    case "cluster":
      if (specifier.value === "") problems.invalid(`${path}.cluster`, "is missing");
      return [{ name: specifier.value, weight: 1, headers: noHeaderMutations, filters }];
    case "weightedClusters":
      return decodeWeighted(specifier.value, filters, `${path}.weighted_clusters`, problems);
    case undefined:
      problems.invalid(path, "names no cluster");
      return [];
    default:
      problems.unsupported(path, `choosing a cluster by ${specifier.case}`);
      return [];
  }
}

function decodeWeighted(
  weighted: EnvoyWeightedCluster,
  filters: RouteFilterConfigs | null,
  path: string,
  problems: Problems,
): WeightedCluster[] {
  const clusters = weighted.clusters.map((cluster, i): WeightedCluster => {
    const where = `${path}.clusters[${i}]`;
    if (cluster.name === "") problems.invalid(`${where}.name`, "is missing");
    return {
      name: cluster.name,
      weight: cluster.weight ?? 0,
      headers: withAuthority(decodeHeaderMutations(cluster, where, problems), cluster.hostRewriteSpecifier.value),
      filters: decodeRouteFilters(cluster.typedPerFilterConfig, filters, where, problems),
    };
  });
  if (clusters.every((cluster) => cluster.weight === 0)) problems.invalid(path, "the sum of weights is 0");
  return clusters;
}

/** A host rewrite of one destination; it comes after the route's own and wins over it. */
function withAuthority(headers: HeaderMutations, host: string | undefined): HeaderMutations {
  if (host === undefined) return headers;
  // A literal: nothing in it is an operator.
  const value = host.replaceAll("%", "%%");
  return { ...headers, request: [...headers.request, { name: ":authority", operation: "set", value }] };
}

function decodePrefixRewrite(
  replacement: string,
  match: RouteMatch,
  path: string,
  problems: Problems,
): ForwardAction["prefixRewrite"] {
  if (replacement === "") return null;
  if (match.path.type === "regex") {
    problems.invalid(path, "a regular expression has no prefix to rewrite");
    return null;
  }
  return { matched: match.path.value, replacement };
}

function decodeRedirect(redirect: EnvoyRedirect, path: string, problems: Problems): RedirectAction {
  const scheme = redirect.schemeRewriteSpecifier;
  const rewrite = redirect.pathRewriteSpecifier;
  return {
    status: redirectStatus[redirect.responseCode] ?? 301,
    scheme: scheme.case === "httpsRedirect" ? (scheme.value ? "https" : null) : scheme.value || null,
    host: redirect.hostRedirect || null,
    port: redirect.portRedirect || null,
    // An empty rewrite leaves the path as it is, and Istio sends one where the user named none.
    path: rewrite.case === "pathRedirect" ? rewrite.value || null : null,
    prefixRewrite: rewrite.case === "prefixRewrite" ? rewrite.value || null : null,
    regexRewrite:
      rewrite.case === "regexRewrite" ? decodeRegexRewrite(rewrite.value, `${path}.regex_rewrite`, problems) : null,
    stripQuery: redirect.stripQuery,
  };
}

const redirectStatus: Readonly<Record<number, number>> = {
  [RedirectCode.MOVED_PERMANENTLY]: 301,
  [RedirectCode.FOUND]: 302,
  [RedirectCode.SEE_OTHER]: 303,
  [RedirectCode.TEMPORARY_REDIRECT]: 307,
  [RedirectCode.PERMANENT_REDIRECT]: 308,
};

function decodeDirectResponse(action: DirectResponseAction, path: string, problems: Problems): RouteAction {
  if (action.status < 100 || action.status > 599)
    problems.invalid(`${path}.status`, `${action.status} is not a status`);
  if (action.body !== undefined && inlineText(action.body) === undefined) {
    problems.unsupported(`${path}.body`, "a body from a file");
  }
  return { type: "direct_response", status: action.status, body: inlineText(action.body) ?? "" };
}
