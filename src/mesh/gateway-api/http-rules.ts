// The rules of an HTTPRoute as routes of a VirtualService, one for each match.
import type {
  HttpBackend,
  HttpRouteFilter,
  HttpRouteMatch,
  HttpRouteRule,
  HttpRouteSpec,
} from "../kinds/http-route/spec.ts";
import type { HttpMatchRequest, HttpRoute } from "../kinds/virtual-service/spec.ts";
import type { HttpRetry } from "../objects/fields/http-retry.ts";
import type { HeaderMatch } from "../objects/fields/route-filter.ts";
import type { SessionPersistence } from "../objects/fields/session-persistence.ts";
import type { StringMatch } from "../objects/fields/string-match.ts";
import type { MeshObject } from "../objects/mesh-object.ts";
import { type BackendContext, resolveBackend } from "./backends.ts";
import { type AppliedFilters, applyFilters, headersOf } from "./filters.ts";
import { type MadeRoute, type MadeRoutes, noMatch, type RuleProblem } from "./made-route.ts";

export function httpRules(route: MeshObject<HttpRouteSpec>, context: BackendContext): MadeRoutes<HttpRoute> {
  const problems: RuleProblem[] = [];
  const routes = route.spec.rules.flatMap((rule, index): MadeRoute<HttpRoute>[] => {
    const path = `spec.rules[${index}]`;
    const name = rule.name || `${route.namespace}.${route.name}.${index}`;
    const backends = weightedRoutes(rule.backendRefs, path, context);
    const session = sessionOf(rule.sessionPersistence, route, index);
    problems.push(...backends.problems);
    return rule.matches.map((match, at) => {
      // Filters look at the match for the prefix that they replace; what is wrong with them is said once.
      const filters = applyFilters(rule.filters, match.path, `${path}.filters`, context);
      if (at === 0) problems.push(...filters.problems);
      const made = ruleRoute(name, filters, backends);
      return {
        route: { ...made, match: [httpMatch(match)], ...timing(rule), ...session },
        source: { object: route, path },
      };
    });
  });
  return { routes, problems };
}

/** Redirects, sends to the backends, or answers 500 where a filter cannot be applied or there is no backend. */
export function ruleRoute(name: string, filters: AppliedFilters, backends: WeightedRoutes): HttpRoute {
  const { redirect } = filters.route;
  const base: HttpRoute = { name, match: [], route: [], mirrors: [], ...filters.route };
  if (filters.isBroken || backends.isBroken) return broken(name);
  if (redirect !== undefined) return base;
  return backends.route.length === 0 ? broken(name) : { ...base, route: backends.route };
}

function broken(name: string): HttpRoute {
  return { name, match: [], route: [], mirrors: [], directResponse: { status: 500 } };
}

export interface WeightedRoutes {
  readonly route: HttpRoute["route"];
  readonly problems: readonly RuleProblem[];
  /** A filter of a backend cannot be applied: nothing is sent. */
  readonly isBroken: boolean;
}

type FilteredBackend = Pick<HttpBackend, "group" | "kind" | "name" | "namespace" | "port" | "weight"> & {
  readonly filters: readonly Pick<HttpRouteFilter, "type" | "requestHeaderModifier" | "responseHeaderModifier">[];
};

/** The backends that take a share; an invalid one keeps its share, which is answered 500. */
export function weightedRoutes(
  backends: readonly FilteredBackend[],
  path: string,
  context: BackendContext,
): WeightedRoutes {
  const problems: RuleProblem[] = [];
  let isBroken = false;
  const weighted = backends.map((backend, index) => ({ backend, at: `${path}.backendRefs[${index}]` }));
  const shares = weighted.filter(({ backend }) => backend.weight > 0);
  const route = weighted.flatMap(({ backend, at }) => {
    const { destination, problem } = resolveBackend(backend, context);
    if (problem !== undefined) problems.push({ ...problem, path: at });
    for (const [index, { type }] of backend.filters.entries()) {
      if (type === "RequestHeaderModifier" || type === "ResponseHeaderModifier") continue;
      problems.push({
        reason: "InvalidFilter",
        message: `the filter ${type} is not supported on a backend; the rule answers 500`,
        path: `${at}.filters[${index}]`,
      });
      isBroken = true;
    }
    if (backend.weight === 0) return [];
    const headers = headersOf(backend.filters);
    const weight = shares.length === 1 ? 0 : backend.weight;
    return [{ destination, weight, ...(headers !== undefined && { headers }) }];
  });
  return { route, problems, isBroken };
}

/** The cookie or header is named after the rule, where nobody names it. */
export function sessionOf(
  wanted: SessionPersistence | undefined,
  route: { readonly namespace: string; readonly name: string },
  index: number,
): Partial<HttpRoute> {
  if (wanted === undefined) return {};
  const { type, sessionName, absoluteTimeout, cookieConfig } = wanted;
  const own = `session-${route.namespace}-${route.name}-${index}`;
  const isPermanent = type === "Cookie" && cookieConfig?.lifetimeType === "Permanent";
  const lifetime = isPermanent ? absoluteTimeout : undefined;
  const name = sessionName || (type === "Header" ? `x-${own}` : own);
  return { session: { type, name, ...(lifetime !== undefined && { lifetime }) } };
}

function timing({ timeouts, retry }: HttpRouteRule): Partial<HttpRoute> {
  const { request = 0, backendRequest = 0 } = timeouts ?? {};
  const retries: HttpRetry | undefined = retry && {
    attempts: retry.attempts ?? 2,
    retryOn: retry.attempts === 0 ? "" : [...alwaysRetried, ...retry.codes].join(),
    ...(retry.backoff !== undefined && { backoff: retry.backoff }),
    ...(backendRequest > 0 && { perTryTimeout: backendRequest }),
  };
  // Without retries the one attempt is the request.
  const timeout = retries === undefined && backendRequest > 0 ? backendRequest : request;
  return { ...(timeout > 0 && { timeout }), ...(retries !== undefined && { retries }) };
}

/** What the Gateway API asks to retry wherever a rule retries at all. */
const alwaysRetried = ["connect-failure", "refused-stream", "unavailable", "cancelled"];

function httpMatch({ path, headers, queryParams, method }: HttpRouteMatch): HttpMatchRequest {
  return {
    ...noMatch,
    uri: pathMatch(path),
    headers: stringMatches(headers),
    queryParams: stringMatches(queryParams),
    ...(method !== "" && { method: { exact: method } }),
  };
}

function pathMatch({ type, value }: HttpRouteMatch["path"]): StringMatch {
  if (type === "Exact") return { exact: value };
  return type === "RegularExpression" ? { regex: value } : { prefix: prefixOf(value) };
}

/** A slash at the end of a prefix means nothing. */
function prefixOf(value: string): string {
  return value.length > 1 && value.endsWith("/") ? value.slice(0, -1) : value;
}

export function stringMatches(matches: readonly HeaderMatch[]): Record<string, StringMatch> {
  return Object.fromEntries(
    matches.map(({ type, name, value }) => [name, type === "Exact" ? { exact: value } : { regex: value }]),
  );
}
