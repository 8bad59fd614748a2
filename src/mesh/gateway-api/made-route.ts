// Routes of a VirtualService as they are made of the rules of a route of the Gateway API, and the order among them.
import type { HttpMatchRequest, HttpRoute } from "../kinds/virtual-service/spec.ts";
import type { ApiProblem } from "./conditions.ts";
import type { Source } from "./generated-object.ts";

export interface MadeRoute<Route> {
  readonly route: Route;
  readonly source: Source;
}

/** What the rules of one route come to, and what is wrong with each. */
export interface MadeRoutes<Route> {
  readonly routes: readonly MadeRoute<Route>[];
  readonly problems: readonly RuleProblem[];
}

export interface RuleProblem extends ApiProblem {
  /** Path of the field. */
  readonly path: string;
}

export const noMatch: HttpMatchRequest = {
  name: "",
  headers: {},
  withoutHeaders: {},
  queryParams: {},
  ignoreUriCase: false,
  port: 0,
  sourceLabels: {},
  sourceNamespace: "",
  gateways: [],
  statPrefix: "",
};

/**
 * Sorts by the Gateway API's precedence of matches. Stable: what is equal stays in the order of age, name and rule.
 *
 * | | first |
 * |---|---|
 * | 1 | an exact path, then prefixes, then regular expressions |
 * | 2 | the longer path |
 * | 3 | with a method |
 * | 4 | more headers |
 * | 5 | more query parameters |
 */
export function byPrecedence(routes: readonly MadeRoute<HttpRoute>[]): MadeRoute<HttpRoute>[] {
  return [...routes].sort((a, b) => compare(a.route.match[0], b.route.match[0]));
}

function compare(a: HttpMatchRequest | undefined, b: HttpMatchRequest | undefined): number {
  if (a === undefined || b === undefined) return Number(a === undefined) - Number(b === undefined);
  return (
    pathRank(b) - pathRank(a) ||
    pathLength(b) - pathLength(a) ||
    Number(b.method !== undefined) - Number(a.method !== undefined) ||
    Object.keys(b.headers).length - Object.keys(a.headers).length ||
    Object.keys(b.queryParams).length - Object.keys(a.queryParams).length
  );
}

function pathRank({ uri }: HttpMatchRequest): number {
  if (uri?.exact !== undefined) return 3;
  if (uri?.prefix !== undefined) return 2;
  return uri?.regex === undefined ? 0 : 1;
}

function pathLength({ uri }: HttpMatchRequest): number {
  return (uri?.exact ?? uri?.prefix ?? uri?.regex ?? "").length;
}
