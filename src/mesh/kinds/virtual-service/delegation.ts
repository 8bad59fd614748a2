// Delegation: a route of a VirtualService with hosts (the root) hands its requests to the routes of one without hosts
// (the delegate). The root then has the delegate's routes, each narrowed by the root's matches. Rules in README.md.
import type { Origin } from "#base/issue.ts";
import { isVisible } from "../../objects/export-to.ts";
import type { StringMatch } from "../../objects/fields/string-match.ts";
import { type MeshObject, originAt } from "../../objects/mesh-object.ts";
import { exportedTo, isDelegate } from "./resolve.ts";
import type { Delegate, HttpMatchRequest, HttpRoute, VirtualServiceSpec } from "./spec.ts";

type VirtualService = MeshObject<VirtualServiceSpec>;

/** One route of a root, and what became of it. */
export interface Delegation {
  readonly root: VirtualService;
  /** Place in the root's `http`. */
  readonly index: number;
  readonly reference: Delegate;
  /** Undefined when there is none of that name, or when what is there has hosts of its own. */
  readonly delegate: VirtualService | undefined;
  /** The delegate is not exported to the root's namespace. */
  readonly hidden: boolean;
  /** Places in the delegate's `http` whose matches the root's matches exclude. */
  readonly conflicts: readonly number[];
  /** There are more pairs of matches than one root may have; nothing of the delegate is taken over. */
  readonly tooMany: boolean;
}

/** Every match of a root's route meets every match of its delegate. So many pairs may a root have. */
export const maxMatchPairs = 100_000;

export interface MergedVirtualServices {
  /** Everything that routes by itself, in the order given, with the routes of delegates in place. */
  readonly routing: readonly VirtualService[];
  readonly delegations: readonly Delegation[];
}

/** Merges delegates into their roots. A route that cannot be merged is left out; the others go on. */
export function mergeDelegates(
  all: readonly VirtualService[],
  find: (namespace: string, name: string) => VirtualService | undefined,
  defaultExportTo: readonly string[],
): MergedVirtualServices {
  const delegations: Delegation[] = [];
  const routing = all
    .filter((object) => !isDelegate(object))
    .map((root) => {
      if (root.spec.http.every((route) => route.delegate === undefined)) return root;
      let pairs = 0;
      const http = root.spec.http.flatMap((route, index): PlacedRoute[] => {
        if (route.delegate === undefined) return [{ route, origin: originAt(root, `spec.http[${index}]`) }];
        const found = delegationOf(root, index, route.delegate, find, defaultExportTo);
        const takesOver = found.delegate !== undefined && !found.hidden;
        if (takesOver) pairs += pairsOf(route, found.delegate);
        const tooMany = takesOver && pairs > maxMatchPairs;
        const merged = takesOver && !tooMany ? mergeRoutes(route, found.delegate) : undefined;
        delegations.push({ ...found, conflicts: merged?.conflicts ?? [], tooMany });
        return merged?.routes ?? [];
      });
      return withRoutes(root, http);
    });
  return { routing, delegations };
}

function delegationOf(
  root: VirtualService,
  index: number,
  reference: Delegate,
  find: (namespace: string, name: string) => VirtualService | undefined,
  defaultExportTo: readonly string[],
): Omit<Delegation, "conflicts" | "tooMany"> {
  const named = find(reference.namespace, reference.name);
  const delegate = named !== undefined && isDelegate(named) ? named : undefined;
  const hidden =
    delegate !== undefined && !isVisible(exportedTo(delegate, defaultExportTo), delegate.namespace, root.namespace);
  return { root, index, reference, delegate, hidden };
}

function pairsOf(route: HttpRoute, delegate: VirtualService): number {
  return delegate.spec.http.reduce(
    (sum, { match }) => sum + Math.max(1, match.length) * Math.max(1, route.match.length),
    0,
  );
}

interface PlacedRoute {
  readonly route: HttpRoute;
  readonly origin: Origin;
}

/** The root with other routes, each of which was written somewhere else. */
function withRoutes(root: VirtualService, placed: readonly PlacedRoute[]): VirtualService {
  const origins = [...new Set([root.origin, ...placed.map(({ origin }) => origin)])];
  const originOf = (path: string): Origin => {
    const index = /^spec\.http\[(\d+)\]/.exec(path)?.[1];
    return (index === undefined ? undefined : placed[Number(index)]?.origin) ?? originAt(root, path);
  };
  const http = placed.map(({ route }) => route);
  return { ...root, spec: { ...root.spec, http }, madeFrom: { origins, originOf } };
}

function mergeRoutes(rootRoute: HttpRoute, delegate: VirtualService): { routes: PlacedRoute[]; conflicts: number[] } {
  const routes: PlacedRoute[] = [];
  const conflicts: number[] = [];
  for (const [index, route] of delegate.spec.http.entries()) {
    const match = mergeMatches(rootRoute.match, route.match);
    if (match === undefined) conflicts.push(index);
    else {
      const merged = { ...mergeRoute(rootRoute, route), match };
      routes.push({ route: merged, origin: originAt(delegate, `spec.http[${index}]`) });
    }
  }
  return { routes, conflicts };
}

/** What the delegate leaves open, the root says. */
function mergeRoute(root: HttpRoute, route: HttpRoute): HttpRoute {
  const inherited = {
    rewrite: root.rewrite,
    directResponse: root.directResponse,
    timeout: root.timeout,
    retries: root.retries,
    fault: root.fault,
    mirror: root.mirror,
    mirrorPercent: root.mirrorPercent,
    mirrorPercentage: root.mirrorPercentage,
    corsPolicy: root.corsPolicy,
    headers: root.headers,
  };
  const said = Object.entries(inherited).filter(([, value]) => value !== undefined);
  return {
    ...Object.fromEntries(said),
    ...route,
    name: joinNames(root.name, route.name),
    mirrors: route.mirrors.length > 0 ? route.mirrors : root.mirrors,
  };
}

function joinNames(root: string, delegate: string): string {
  return root === "" || delegate === "" ? root + delegate : `${root}-${delegate}`;
}

/** Every match of the delegate must fit into one of the root's; undefined when one fits nowhere. */
function mergeMatches(
  root: readonly HttpMatchRequest[],
  delegate: readonly HttpMatchRequest[],
): readonly HttpMatchRequest[] | undefined {
  if (root.length === 0) return delegate;
  if (delegate.length === 0) return root;
  const merged: HttpMatchRequest[] = [];
  for (const leaf of delegate) {
    const fitting = root.filter((item) => !conflict(item, leaf));
    if (fitting.length === 0) return undefined;
    merged.push(...fitting.map((item) => mergeMatch(item, leaf)));
  }
  return merged;
}

function mergeMatch(root: HttpMatchRequest, leaf: HttpMatchRequest): HttpMatchRequest {
  const uri = leaf.uri ?? root.uri;
  const scheme = leaf.scheme ?? root.scheme;
  const method = leaf.method ?? root.method;
  const authority = leaf.authority ?? root.authority;
  return {
    ...leaf,
    name: joinNames(root.name, leaf.name),
    ...(uri !== undefined && { uri }),
    ...(scheme !== undefined && { scheme }),
    ...(method !== undefined && { method }),
    ...(authority !== undefined && { authority }),
    headers: { ...root.headers, ...leaf.headers },
    withoutHeaders: { ...root.withoutHeaders, ...leaf.withoutHeaders },
    queryParams: { ...root.queryParams, ...leaf.queryParams },
    port: leaf.port || root.port,
    sourceLabels: { ...root.sourceLabels, ...leaf.sourceLabels },
    sourceNamespace: leaf.sourceNamespace || root.sourceNamespace,
    gateways: leaf.gateways.length > 0 ? leaf.gateways : root.gateways,
    statPrefix: leaf.statPrefix || root.statPrefix,
  };
}

/** Tells whether a match of the delegate asks for what the root's match does not let through. */
function conflict(root: HttpMatchRequest, leaf: HttpMatchRequest): boolean {
  const pairs: [StringMatch | undefined, StringMatch | undefined][] = [
    [root.uri, leaf.uri],
    [root.scheme, leaf.scheme],
    [root.method, leaf.method],
    [root.authority, leaf.authority],
  ];
  for (const field of ["headers", "withoutHeaders", "queryParams"] as const) {
    for (const [name, value] of Object.entries(leaf[field])) pairs.push([root[field][name], value]);
  }
  return (
    pairs.some(([outer, inner]) => excludes(outer, inner)) ||
    root.ignoreUriCase !== leaf.ignoreUriCase ||
    (root.port !== 0 && leaf.port !== 0 && root.port !== leaf.port) ||
    (root.sourceNamespace !== "" && leaf.sourceNamespace !== root.sourceNamespace) ||
    Object.entries(leaf.sourceLabels).some(([key, value]) => (root.sourceLabels[key] ?? value) !== value) ||
    (root.gateways.length > 0 && leaf.gateways.some((gateway) => !root.gateways.includes(gateway)))
  );
}

/** True unless all that `inner` matches is matched by `outer`. Regular expressions fit only into nothing said. */
function excludes(outer: StringMatch | undefined, inner: StringMatch | undefined): boolean {
  if (outer === undefined || inner === undefined) return false;
  const { exact, prefix } = outer;
  if (exact) return inner.exact !== exact;
  if (prefix) return !(inner.prefix || inner.exact || "").startsWith(prefix);
  return true;
}
