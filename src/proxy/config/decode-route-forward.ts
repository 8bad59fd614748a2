// envoy.config.route.v3.RouteAction: to which cluster a request goes, as what, and within which limits.

import { type Metadata, RoutingPriority } from "#wire/gen/envoy/config/core/v3/base_pb.ts";
import {
  type RouteAction as EnvoyRouteAction,
  type VirtualHost as EnvoyVirtualHost,
  type WeightedCluster as EnvoyWeightedCluster,
  RouteAction_ClusterNotFoundResponseCode as NotFoundCode,
  type RouteAction_HashPolicy,
  type RouteAction_RequestMirrorPolicy,
} from "#wire/gen/envoy/config/route/v3/route_components_pb.ts";
import { decodeRouteFilters } from "./decode-http-filters.ts";
import { decodeRetry } from "./decode-retry.ts";
import {
  type ForwardAction,
  type HashPolicy,
  type HeaderMutations,
  type HostRewrite,
  type MirrorPolicy,
  noHeaderMutations,
  type RouteFilterConfigs,
  type RouteMatch,
  type RouteUpgrade,
  type WeightedCluster,
} from "./http.ts";
import { decodeHeaderMutations } from "./parse/header-mutations.ts";
import { decodeRegexRewrite } from "./parse/matcher.ts";
import { mergeMetadataMatch, metadataMatch } from "./parse/metadata-match.ts";
import { milliseconds, runtimeShare } from "./parse/values.ts";
import type { Problems } from "./problems.ts";
import { always } from "./runtime.ts";

/** What a route's action needs of the rest of the route. */
export interface RouteContext {
  readonly match: RouteMatch;
  readonly host: EnvoyVirtualHost;
  readonly filters: RouteFilterConfigs | null;
}

export function decodeForward(
  action: EnvoyRouteAction,
  context: RouteContext,
  path: string,
  problems: Problems,
): ForwardAction {
  const { match, host } = context;
  reportLeftOut(action, path, problems);
  const clusters = decodeClusters(action, context.filters, path, problems);
  const mirrors = action.requestMirrorPolicies.length > 0 ? action.requestMirrorPolicies : host.requestMirrorPolicies;
  return {
    clusters,
    totalWeight: clusters.reduce((sum, cluster) => sum + cluster.weight, 0),
    weightHeader: decodeWeightHeader(action),
    clusterNotFoundStatus: notFoundStatus[action.clusterNotFoundResponseCode] ?? 503,
    timeoutMs: milliseconds(action.timeout, 15_000),
    idleTimeoutMs: action.idleTimeout === undefined ? null : milliseconds(action.idleTimeout, 0),
    ...decodeStreamDuration(action),
    retry: decodeRetry(action.retryPolicy ?? host.retryPolicy, `${path}.retry_policy`, problems),
    priority: action.priority === RoutingPriority.HIGH ? "high" : "default",
    hashPolicies: action.hashPolicy.flatMap((it, i) => decodeHash(it, `${path}.hash_policy[${i}]`, problems) ?? []),
    mirrors: mirrors.flatMap((it, i) => decodeMirror(it, `${path}.request_mirror_policies[${i}]`, problems) ?? []),
    prefixRewrite: decodePrefixRewrite(action.prefixRewrite, match, `${path}.prefix_rewrite`, problems),
    regexRewrite: decodeRegexRewrite(action.regexRewrite, `${path}.regex_rewrite`, problems),
    hostRewrite: decodeHostRewrite(action, path, problems),
    appendForwardedHost: action.appendXForwardedHost,
    upgrades: new Map(
      action.upgradeConfigs.map(({ upgradeType, enabled, connectConfig }): [string, RouteUpgrade] => [
        upgradeType.toLowerCase(),
        { enabled: enabled ?? true, terminatesConnect: connectConfig !== undefined },
      ]),
    ),
  };
}

function reportLeftOut(action: EnvoyRouteAction, path: string, problems: Problems): void {
  if (action.internalRedirectPolicy !== undefined || action.internalRedirectAction !== 0) {
    problems.leftOut(`${path}.internal_redirect_policy`, "following redirects");
  }
  if (action.pathRewritePolicy !== undefined) {
    problems.unsupported(`${path}.path_rewrite_policy`, "a rewrite by path template");
  }
  if (action.hedgePolicy !== undefined && action.hedgePolicy.hedgeOnPerTryTimeout) {
    problems.leftOut(`${path}.hedge_policy`, "sending a second try while the first one runs");
  }
  if (action.retryPolicyTypedConfig !== undefined) {
    problems.unsupported(`${path}.retry_policy_typed_config`, "a retry policy by extension");
  }
}

const notFoundStatus: Readonly<Record<number, number>> = {
  [NotFoundCode.SERVICE_UNAVAILABLE]: 503,
  [NotFoundCode.NOT_FOUND]: 404,
  [NotFoundCode.INTERNAL_SERVER_ERROR]: 500,
};

function decodeStreamDuration(action: EnvoyRouteAction): Pick<ForwardAction, "maxStreamDurationMs" | "grpcTimeout"> {
  const limits = action.maxStreamDuration;
  const headerMax = limits?.grpcTimeoutHeaderMax ?? action.maxGrpcTimeout;
  const offset = limits?.grpcTimeoutHeaderOffset ?? action.grpcTimeoutOffset;
  return {
    maxStreamDurationMs: limits?.maxStreamDuration === undefined ? null : milliseconds(limits.maxStreamDuration, 0),
    grpcTimeout:
      headerMax === undefined ? null : { maxMs: milliseconds(headerMax, 0), offsetMs: milliseconds(offset, 0) },
  };
}

function decodeClusters(
  action: EnvoyRouteAction,
  filters: RouteFilterConfigs | null,
  path: string,
  problems: Problems,
): WeightedCluster[] {
  const specifier = action.clusterSpecifier;
  const plain = { weight: 1, headers: noHeaderMutations, filters, metadataMatch: metadataMatch(action.metadataMatch) };
  switch (specifier.case) {
    case "cluster":
      if (specifier.value === "") problems.invalid(`${path}.cluster`, "is missing");
      return [{ name: specifier.value, clusterHeader: null, ...plain }];
    case "clusterHeader":
      return [{ name: "", clusterHeader: specifier.value.toLowerCase(), ...plain }];
    case "weightedClusters":
      return decodeWeighted(
        specifier.value,
        { filters, metadata: action.metadataMatch },
        `${path}.weighted_clusters`,
        problems,
      );
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
  outer: { readonly filters: RouteFilterConfigs | null; readonly metadata: Metadata | undefined },
  path: string,
  problems: Problems,
): WeightedCluster[] {
  const routeMatch = metadataMatch(outer.metadata);
  const clusters = weighted.clusters.map((cluster, i): WeightedCluster => {
    const where = `${path}.clusters[${i}]`;
    if (cluster.name === "" && cluster.clusterHeader === "") problems.invalid(`${where}.name`, "is missing");
    return {
      name: cluster.name,
      clusterHeader: cluster.clusterHeader === "" ? null : cluster.clusterHeader.toLowerCase(),
      weight: cluster.weight ?? 0,
      headers: withAuthority(decodeHeaderMutations(cluster, where, problems), cluster.hostRewriteSpecifier.value),
      filters: decodeRouteFilters(cluster.typedPerFilterConfig, outer.filters, where, problems),
      metadataMatch: mergeMetadataMatch(routeMatch, metadataMatch(cluster.metadataMatch)),
    };
  });
  if (clusters.every((cluster) => cluster.weight === 0)) problems.invalid(path, "the sum of weights is 0");
  return clusters;
}

function decodeWeightHeader(action: EnvoyRouteAction): string | null {
  const specifier = action.clusterSpecifier;
  if (specifier.case !== "weightedClusters") return null;
  const { randomValueSpecifier } = specifier.value;
  return randomValueSpecifier.case === "headerName" ? randomValueSpecifier.value.toLowerCase() : null;
}

/** A host rewrite of one destination; it comes after the route's own and wins over it. */
function withAuthority(headers: HeaderMutations, host: string | undefined): HeaderMutations {
  if (host === undefined) return headers;
  // A literal: nothing in it is an operator.
  const value = host.replaceAll("%", "%%");
  return { ...headers, request: [...headers.request, { name: ":authority", operation: "set", value }] };
}

function decodeHash(policy: RouteAction_HashPolicy, path: string, problems: Problems): HashPolicy | null {
  const { terminal, policySpecifier: specifier } = policy;
  switch (specifier.case) {
    case "header": {
      const name = specifier.value.headerName.toLowerCase();
      const rewrite = decodeRegexRewrite(specifier.value.regexRewrite, `${path}.header.regex_rewrite`, problems);
      return { type: "header", name, rewrite, terminal, description: `header ${name}` };
    }
    case "cookie": {
      const { name, ttl, path: cookiePath, attributes } = specifier.value;
      return {
        type: "cookie",
        name,
        ttlMs: ttl === undefined ? null : milliseconds(ttl, 0),
        path: cookiePath,
        attributes: attributes.map((it) => ({ name: it.name, value: it.value })),
        terminal,
        description: `cookie ${name}`,
      };
    }
    case "connectionProperties":
      return specifier.value.sourceIp ? { type: "source_ip", terminal, description: "source address" } : null;
    case "queryParameter": {
      const { name } = specifier.value;
      return { type: "query_parameter", name, terminal, description: `query parameter ${name}` };
    }
    default:
      problems.unsupported(path, `hashing by ${specifier.case ?? "nothing"}`);
      return null;
  }
}

function decodeMirror(policy: RouteAction_RequestMirrorPolicy, path: string, problems: Problems): MirrorPolicy | null {
  if (policy.cluster === "" && policy.clusterHeader === "") {
    problems.invalid(path, "names no cluster");
    return null;
  }
  return {
    cluster: policy.cluster,
    clusterHeader: policy.clusterHeader === "" ? null : policy.clusterHeader.toLowerCase(),
    fraction: runtimeShare(policy.runtimeFraction, always),
    appendShadowSuffix: !policy.disableShadowHostSuffixAppend,
  };
}

function decodeHostRewrite(action: EnvoyRouteAction, path: string, problems: Problems): HostRewrite | null {
  const specifier = action.hostRewriteSpecifier;
  switch (specifier.case) {
    case "hostRewriteLiteral":
      return specifier.value === "" ? null : { type: "literal", value: specifier.value };
    case "autoHostRewrite":
      return specifier.value.value ? { type: "endpoint" } : null;
    case "hostRewriteHeader":
      return { type: "header", name: specifier.value.toLowerCase() };
    case "hostRewritePathRegex": {
      const rewrite = decodeRegexRewrite(specifier.value, `${path}.host_rewrite_path_regex`, problems);
      return rewrite === null ? null : { type: "path", rewrite };
    }
    case undefined:
      return null;
  }
}

function decodePrefixRewrite(
  replacement: string,
  match: RouteMatch,
  path: string,
  problems: Problems,
): ForwardAction["prefixRewrite"] {
  if (replacement === "") return null;
  if (match.path.type === "regex" || match.path.type === "connect") {
    problems.invalid(path, "the route matches no prefix that could be rewritten");
    return null;
  }
  return { matched: match.path.value, replacement };
}
