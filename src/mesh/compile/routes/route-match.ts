// The match of a VirtualService's HTTP route as an Envoy route match, and the parts of a match that are settled when
// configuration is compiled: gateway, port, and who the client is.
import { create } from "@bufbuild/protobuf";
import {
  type HeaderMatcher,
  type RouteMatch,
  RouteMatchSchema,
} from "#wire/gen/envoy/config/route/v3/route_components_pb.ts";
import type { MetadataMatcher } from "#wire/gen/envoy/type/matcher/v3/metadata_pb.ts";
import { routingClaims } from "../../kinds/virtual-service/resolve.ts";
import type { HttpMatchRequest } from "../../kinds/virtual-service/spec.ts";
import { type Labels, selects } from "../../objects/fields/selector.ts";
import type { StringMatch } from "../../objects/fields/string-match.ts";
import type { ProxyNode } from "../../snapshot/proxy-node.ts";
import { claimMatcher } from "../filters/rbac/metadata-match.ts";
import { anyValue } from "../filters/rbac/string-pattern.ts";
import { headerMatcher, queryParameterMatcher, stringMatcher, withoutHeaderMatcher } from "./string-match.ts";

export interface ClientConditions {
  readonly port: number;
  readonly gateways: readonly string[];
  readonly sourceLabels: Labels;
  readonly sourceNamespace: string;
}

/** Tells whether a match can hold at all for this proxy, port and gateway (`mesh` on sidecars). */
export function appliesTo(
  match: ClientConditions,
  proxy: ProxyNode,
  place: { readonly gateway: string; readonly port: number },
): boolean {
  if (match.port !== 0 && match.port !== place.port) return false;
  // Naming gateways switches the test of the source off.
  if (match.gateways.length > 0) return match.gateways.includes(place.gateway);
  if (!selects(match.sourceLabels, proxy.labels)) return false;
  return match.sourceNamespace === "" || match.sourceNamespace === proxy.namespace;
}

/** Compiles a match; without one everything matches. `bySegments`: a prefix is of whole segments of a path. */
export function routeMatch(match: HttpMatchRequest | undefined, bySegments: boolean): RouteMatch {
  if (match === undefined) return create(RouteMatchSchema, { pathSpecifier: { case: "prefix", value: "/" } });
  const headers: HeaderMatcher[] = [];
  const dynamicMetadata: MetadataMatcher[] = [];
  for (const negated of [false, true]) {
    for (const [name, value] of Object.entries(negated ? match.withoutHeaders : match.headers)) {
      const claims = routingClaims(name);
      if (claims !== undefined) dynamicMetadata.push(claimCondition(claims, value, negated));
      else headers.push(negated ? withoutHeaderMatcher(name, value) : headerMatcher(name, value));
    }
  }
  headers.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  for (const [name, value] of [
    [":method", match.method],
    [":authority", match.authority],
    [":scheme", match.scheme],
  ] as const) {
    if (value !== undefined) headers.push(headerMatcher(name, value));
  }
  return create(RouteMatchSchema, {
    pathSpecifier: pathSpecifier(match.uri, bySegments),
    caseSensitive: !match.ignoreUriCase,
    headers,
    dynamicMetadata,
    queryParameters: Object.keys(match.queryParams)
      .sort()
      .map((name) => queryParameterMatcher(name, match.queryParams[name] ?? {})),
  });
}

/** True when no later route can be reached. */
export function isCatchAll(match: RouteMatch): boolean {
  const { pathSpecifier: path } = match;
  const anyPath =
    (path.case === "prefix" && path.value === "/") || (path.case === "safeRegex" && path.value.regex === "*");
  return (
    anyPath && match.headers.length === 0 && match.queryParameters.length === 0 && match.dynamicMetadata.length === 0
  );
}

function pathSpecifier(uri: StringMatch | undefined, bySegments: boolean): RouteMatch["pathSpecifier"] {
  if (uri?.exact !== undefined) return { case: "path", value: uri.exact };
  if (bySegments && uri?.prefix !== undefined && uri.prefix !== "/") {
    return { case: "pathSeparatedPrefix", value: uri.prefix.replace(/\/$/, "") };
  }
  if (uri?.prefix !== undefined) return { case: "prefix", value: uri.prefix };
  const regex = uri && stringMatcher(uri)?.matchPattern;
  return regex?.case === "safeRegex" ? { case: "safeRegex", value: regex.value } : { case: "prefix", value: "/" };
}

function claimCondition(claims: readonly string[], match: StringMatch, invert: boolean): MetadataMatcher {
  return claimMatcher(claims, [stringMatcher(match) ?? anyValue], invert);
}
