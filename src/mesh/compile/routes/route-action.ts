// What a matched HTTP route does: redirect, answer by itself, or forward.
import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  RouteAction_ClusterNotFoundResponseCode as NotFoundCode,
  RedirectAction_RedirectResponseCode as RedirectCode,
  type RouteActionSchema,
  type RouteMatch,
  type RouteSchema,
} from "#wire/gen/envoy/config/route/v3/route_components_pb.ts";
import type { HttpDirectResponse, HttpRedirect, HttpRoute } from "../../kinds/virtual-service/spec.ts";
import type { HttpRetry } from "../../objects/fields/http-retry.ts";
import { milliseconds } from "../envoy-values.ts";
import { type DestinationScope, resolveDestination } from "./destination.ts";
import { authorityOf, headerOperations } from "./header-operations.ts";
import { fractionalPercent, wholePercent } from "./percent.ts";
import { retryPolicy } from "./retry-policy.ts";

export type RouteInit = Exclude<MessageInitShape<typeof RouteSchema>, { $typeName: string }>;
type ActionInit = Exclude<MessageInitShape<typeof RouteActionSchema>, { $typeName: string }>;

export interface ActionContext {
  readonly scope: DestinationScope;
  /** The service's port on sidecars, the server's port on gateways. */
  readonly port: number;
  /** The listener terminates TLS. */
  readonly secure: boolean;
  readonly defaultRetries: HttpRetry | undefined;
  /** Of a route of the Gateway API: what it matches. */
  readonly gatewayMatch?: RouteMatch;
}

/** Compiles the action and the header operations; undefined when there is nothing that could be done. */
export function routeAction(route: HttpRoute, context: ActionContext): RouteInit | undefined {
  const headers = headerOperations(route.headers);
  if (route.redirect !== undefined) {
    const action = redirectAction(route.redirect, context);
    return action && { ...headers, action };
  }
  if (route.directResponse !== undefined) return { ...headers, action: directResponse(route.directResponse) };
  if (route.route.length === 0) return undefined;

  const [only] = route.route;
  const perDestination = route.route.length === 1 ? headerOperations(only?.headers) : headerOperations(undefined);
  return {
    requestHeadersToAdd: [...headers.requestHeadersToAdd, ...perDestination.requestHeadersToAdd],
    requestHeadersToRemove: [...headers.requestHeadersToRemove, ...perDestination.requestHeadersToRemove],
    responseHeadersToAdd: [...headers.responseHeadersToAdd, ...perDestination.responseHeadersToAdd],
    responseHeadersToRemove: [...headers.responseHeadersToRemove, ...perDestination.responseHeadersToRemove],
    action: { case: "route", value: forward(route, context) },
  };
}

function forward(route: HttpRoute, context: ActionContext): ActionInit {
  const timeout = milliseconds(route.timeout ?? 0);
  const targets = destinations(route, context);
  return {
    clusterSpecifier: targets.clusterSpecifier,
    timeout,
    maxGrpcTimeout: timeout,
    ...(context.gatewayMatch !== undefined && { clusterNotFoundResponseCode: NotFoundCode.INTERNAL_SERVER_ERROR }),
    ...rewrite(route, context.gatewayMatch),
    ...mirrors(route, context),
    hashPolicy: targets.hashPolicies,
    ...retries(route.retries ?? context.defaultRetries, targets.hashPolicies.length > 0),
  };
}

function retries(policy: HttpRetry | undefined, consistentHash: boolean): ActionInit {
  const compiled = retryPolicy(policy, consistentHash);
  return compiled === undefined ? {} : { retryPolicy: compiled };
}

function destinations(route: HttpRoute, context: ActionContext) {
  const resolve = (index: number) => {
    const item = route.route[index];
    return item && resolveDestination(context.scope, item.destination, context.port);
  };
  if (route.route.length === 1) {
    const target = resolve(0);
    return {
      clusterSpecifier: { case: "cluster" as const, value: target?.cluster ?? "" },
      hashPolicies: target?.hashPolicies ?? [],
    };
  }
  const weighted = route.route
    .map((item, index) => ({ item, target: resolve(index) }))
    // A destination without weight takes no requests while there are others.
    .filter(({ item }) => item.weight > 0);
  return {
    clusterSpecifier: {
      case: "weightedClusters" as const,
      value: {
        clusters: weighted.map(({ item, target }) => {
          const authority = authorityOf(item.headers);
          return {
            name: target?.cluster ?? "",
            weight: item.weight,
            ...headerOperations(item.headers),
            ...(authority !== "" && {
              hostRewriteSpecifier: { case: "hostRewriteLiteral" as const, value: authority },
            }),
          };
        }),
      },
    },
    hashPolicies: weighted.flatMap(({ target }) => target?.hashPolicies ?? []),
  };
}

/** A rewrite of the authority wins over header operations, and the route over its one destination. */
function rewrite(route: HttpRoute, gatewayMatch: RouteMatch | undefined): ActionInit {
  const { uri = "", authority: rewritten = "", uriRegexRewrite } = route.rewrite ?? {};
  const ofDestination = route.route.length === 1 ? authorityOf(route.route[0]?.headers) : "";
  const authority = rewritten || authorityOf(route.headers) || ofDestination;
  return {
    ...(uriRegexRewrite !== undefined
      ? { regexRewrite: { pattern: { regex: uriRegexRewrite.match }, substitution: uriRegexRewrite.rewrite } }
      : gatewayMatch !== undefined && uri === "/"
        ? { regexRewrite: withoutPrefix(gatewayMatch) }
        : uri !== "" && { prefixRewrite: uri }),
    ...(authority !== "" && { hostRewriteSpecifier: { case: "hostRewriteLiteral" as const, value: authority } }),
  };
}

/** Takes the prefix of whole segments away, and keeps the slash that a path starts with. */
function withoutPrefix({ pathSpecifier }: RouteMatch) {
  const prefix = pathSpecifier.case === "pathSeparatedPrefix" ? pathSpecifier.value : "";
  const quoted = prefix.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  return { pattern: { regex: `^${quoted}(/?)(.*)` }, substitution: "/\\2" };
}

function mirrors(route: HttpRoute, context: ActionContext): ActionInit {
  const single = route.mirror && [
    {
      destination: route.mirror,
      fraction:
        route.mirrorPercentage !== undefined
          ? fractionalPercent(route.mirrorPercentage)
          : wholePercent(route.mirrorPercent ?? 100),
    },
  ];
  const all = [
    ...(single ?? []),
    ...route.mirrors.map(({ destination, percentage }) => ({
      destination,
      fraction: percentage === undefined ? wholePercent(100) : fractionalPercent(percentage),
    })),
  ].filter(({ fraction }) => fraction.numerator > 0);
  return {
    requestMirrorPolicies: all.map(({ destination, fraction }) => ({
      cluster: resolveDestination(context.scope, destination, context.port).cluster,
      runtimeFraction: { defaultValue: fraction },
      traceSampled: false,
      disableShadowHostSuffixAppend: true,
    })),
  };
}

const redirectCodes: ReadonlyMap<number, RedirectCode> = new Map([
  [301, RedirectCode.MOVED_PERMANENTLY],
  [302, RedirectCode.FOUND],
  [303, RedirectCode.SEE_OTHER],
  [307, RedirectCode.TEMPORARY_REDIRECT],
  [308, RedirectCode.PERMANENT_REDIRECT],
]);

function redirectAction(redirect: HttpRedirect, context: ActionContext): NonNullable<RouteInit["action"]> | undefined {
  const responseCode = redirectCodes.get(redirect.redirectCode || 301);
  if (responseCode === undefined) return undefined;
  const scheme = redirect.scheme || (context.secure ? "https" : "http");
  const asked = redirect.derivePort === "FROM_REQUEST_PORT" ? context.port : redirect.port;
  const isDefaultPort = (scheme === "http" && asked === 80) || (scheme === "https" && asked === 443);
  return {
    case: "redirect",
    value: {
      hostRedirect: redirect.authority,
      portRedirect: isDefaultPort ? 0 : asked,
      responseCode,
      ...(redirect.scheme !== "" && {
        schemeRewriteSpecifier: { case: "schemeRedirect" as const, value: redirect.scheme },
      }),
      pathRewriteSpecifier: redirectedPath(redirect, context.gatewayMatch),
    },
  };
}

function redirectedPath({ uri, prefixRewrite }: HttpRedirect, gatewayMatch: RouteMatch | undefined) {
  if (prefixRewrite === "") return { case: "pathRedirect" as const, value: uri };
  if (gatewayMatch !== undefined && prefixRewrite === "/") {
    return { case: "regexRewrite" as const, value: withoutPrefix(gatewayMatch) };
  }
  return { case: "prefixRewrite" as const, value: prefixRewrite };
}

function directResponse({ status, body }: HttpDirectResponse): NonNullable<RouteInit["action"]> {
  return {
    case: "directResponse",
    value: {
      status,
      ...(body?.string !== undefined && {
        body: { specifier: { case: "inlineString" as const, value: body.string } },
      }),
      ...(body?.bytes !== undefined && {
        body: { specifier: { case: "inlineBytes" as const, value: Buffer.from(body.bytes, "base64") } },
      }),
    },
  };
}
