// The rules of a GRPCRoute as routes of a VirtualService, one for each match: a call is a request for /service/method.
import type { GrpcMethodMatch, GrpcRouteMatch, GrpcRouteSpec } from "../kinds/grpc-route/spec.ts";
import type { HttpMatchRequest, HttpRoute } from "../kinds/virtual-service/spec.ts";
import type { StringMatch } from "../objects/fields/string-match.ts";
import type { MeshObject } from "../objects/mesh-object.ts";
import type { BackendContext } from "./backends.ts";
import { applyFilters } from "./filters.ts";
import { ruleRoute, sessionOf, stringMatches, weightedRoutes } from "./http-rules.ts";
import { type MadeRoute, type MadeRoutes, noMatch, type RuleProblem } from "./made-route.ts";

export function grpcRules(route: MeshObject<GrpcRouteSpec>, context: BackendContext): MadeRoutes<HttpRoute> {
  const problems: RuleProblem[] = [];
  const routes = route.spec.rules.flatMap((rule, index): MadeRoute<HttpRoute>[] => {
    const path = `spec.rules[${index}]`;
    const name = rule.name || `${route.namespace}.${route.name}.${index}`;
    const backends = weightedRoutes(rule.backendRefs, path, context);
    const filters = applyFilters(rule.filters, { type: "PathPrefix", value: "/" }, `${path}.filters`, context);
    problems.push(...backends.problems, ...filters.problems);
    const made = { ...ruleRoute(name, filters, backends), ...sessionOf(rule.sessionPersistence, route, index) };
    const matches = rule.matches.length === 0 ? [[]] : rule.matches.map((match) => [grpcMatch(match)]);
    return matches.map((match) => ({ route: { ...made, match }, source: { object: route, path } }));
  });
  return { routes, problems };
}

function grpcMatch({ method, headers }: GrpcRouteMatch): HttpMatchRequest {
  return {
    ...noMatch,
    ...(method !== undefined && { uri: methodMatch(method) }),
    headers: stringMatches(headers),
  };
}

function methodMatch({ type, service, method }: GrpcMethodMatch): StringMatch {
  if (type === "RegularExpression") return { regex: `/${service || "[^/]+"}/${method || ".+"}` };
  if (method === "") return { prefix: `/${service}/` };
  return service === "" ? { regex: `/[^/]+/${method}` } : { exact: `/${service}/${method}` };
}
