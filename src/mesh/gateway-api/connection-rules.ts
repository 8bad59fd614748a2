// The rules of TCPRoutes and TLSRoutes as routes of a VirtualService.
import type { TcpRouteSpec } from "../kinds/tcp-route/spec.ts";
import type { TlsRouteSpec } from "../kinds/tls-route/spec.ts";
import type { RouteDestination, TcpRoute, TlsRoute } from "../kinds/virtual-service/spec.ts";
import type { WeightedBackend } from "../objects/fields/route-reference.ts";
import type { MeshObject } from "../objects/mesh-object.ts";
import { type BackendContext, resolveBackend } from "./backends.ts";
import type { MadeRoutes, RuleProblem } from "./made-route.ts";

export function tcpRules(route: MeshObject<TcpRouteSpec>, context: BackendContext): MadeRoutes<TcpRoute> {
  return connectionRules(route, context, (destinations) => ({ match: [], route: destinations }));
}

/** Server names are filled in by `virtual-services.ts`, for each parent. */
export function tlsRules(route: MeshObject<TlsRouteSpec>, context: BackendContext): MadeRoutes<TlsRoute> {
  return connectionRules(route, context, (destinations) => ({ match: [], route: destinations }));
}

function connectionRules<Route>(
  object: MeshObject<TcpRouteSpec>,
  context: BackendContext,
  make: (destinations: RouteDestination[]) => Route,
): MadeRoutes<Route> {
  const problems: RuleProblem[] = [];
  const routes = object.spec.rules.map(({ backendRefs }, index) => {
    const path = `spec.rules[${index}]`;
    return { route: make(destinations(backendRefs, path, context, problems)), source: { object, path } };
  });
  return { routes, problems };
}

/** Connections that no backend takes are closed: nothing answers at this destination. */
const closed: RouteDestination = {
  destination: { host: "internal.cluster.local", subset: "zero-weight", port: { number: 65535 } },
  weight: 0,
};

function destinations(
  backends: readonly WeightedBackend[],
  path: string,
  context: BackendContext,
  problems: RuleProblem[],
): RouteDestination[] {
  const shares = backends.filter(({ weight }) => weight > 0);
  const found = backends.flatMap((backend, index) => {
    const { destination, problem } = resolveBackend(backend, context);
    if (problem !== undefined) problems.push({ ...problem, path: `${path}.backendRefs[${index}]` });
    if (backend.weight === 0) return [];
    const weight = shares.length === 1 ? 0 : backend.weight;
    return [{ destination: problem === undefined ? destination : closed.destination, weight }];
  });
  return found.length === 0 ? [closed] : found;
}
