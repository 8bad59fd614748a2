// VirtualServices of the routes of the Gateway API: for HTTP one per parent and host, in which the rules of all routes
// for that host stand in the API's order of precedence; for connections one per route, parent and host.
import { gatewaySemantics, routeSemanticsAnnotation } from "../kinds/virtual-service/resolve.ts";
import {
  type HttpRoute,
  meshGateway,
  type TcpRoute,
  type TlsRoute,
  type VirtualServiceSpec,
} from "../kinds/virtual-service/spec.ts";
import { bySpecificity, intersectHosts } from "../objects/host.ts";
import type { MeshObject } from "../objects/mesh-object.ts";
import { type AnyRoute, isForListener, type RouteParent } from "./attachments.ts";
import { generated } from "./generated-object.ts";
import { type AttachPoint, listenerFailure } from "./listeners.ts";
import { byPrecedence, type MadeRoute, noMatch } from "./made-route.ts";
import { connectionRouteName, mergedRouteName } from "./names.ts";

type VirtualService = MeshObject<VirtualServiceSpec>;

/** A route with what its rules come to at Gateways and in the mesh. */
export interface ResolvedRoute<Route> {
  readonly object: AnyRoute;
  readonly parents: readonly RouteParent[];
  readonly atGateways: readonly MadeRoute<Route>[];
  readonly inMesh: readonly MadeRoute<Route>[];
}

/** Where a part of a route is bound: a gateway by its internal name, or the mesh. */
interface Binding {
  readonly gateway: string;
  readonly host: string;
  /** The route's own hostname, which may be wider than what it has in common with the parent. */
  readonly written: string;
  /** Empty means the mesh's default. */
  readonly exportTo: readonly string[];
  /** Of the mesh: only calls to this port; 0 means all. */
  readonly port: number;
}

/** `pointsOf` gives all listeners of the Gateway that a listener belongs to. */
export type PointsOf = (point: AttachPoint) => readonly AttachPoint[];

interface Group {
  readonly key: string;
  readonly binding: Binding;
  readonly first: AnyRoute;
  /** By hostname as written: the rules of a more specific one come first. */
  readonly routes: Map<string, MadeRoute<HttpRoute>[]>;
}

/** The routes come oldest first. */
export function httpVirtualServices(routes: readonly ResolvedRoute<HttpRoute>[], pointsOf: PointsOf): VirtualService[] {
  const groups = new Map<string, Group>();
  for (const route of routes) {
    for (const binding of bindings(route, pointsOf)) {
      const isMesh = binding.gateway === meshGateway;
      const parent = isMesh ? meshParent(route.object.namespace, binding.port) : binding.gateway;
      const key = mergedRouteName(parent, binding.host);
      const made = isMesh ? route.inMesh.map((item) => onPort(item, binding.port)) : route.atGateways;
      const group: Group = groups.get(key) ?? { key, binding, first: route.object, routes: new Map() };
      groups.set(key, group);
      group.routes.set(binding.written, [...(group.routes.get(binding.written) ?? []), ...made]);
    }
  }
  return [...groups.values()].map(({ key, binding, first, routes: made }) => {
    const byHost = [...made].sort(([a], [b]) => bySpecificity(a, b));
    const ordered = byHost.flatMap(([, routes]) => byPrecedence(routes));
    return virtualService(first, binding, {
      name: key,
      part: { http: ordered.map(({ route }) => route) },
      sources: ordered.map(({ source }) => source),
    });
  });
}

function meshParent(namespace: string, port: number): string {
  return port === 0 ? namespace : `${namespace}/${port}`;
}

function onPort(made: MadeRoute<HttpRoute>, port: number): MadeRoute<HttpRoute> {
  if (port === 0) return made;
  const match = made.route.match.length === 0 ? [noMatch] : made.route.match;
  return { ...made, route: { ...made.route, match: match.map((item) => ({ ...item, port })) } };
}

export function tcpVirtualServices(route: ResolvedRoute<TcpRoute>, pointsOf: PointsOf): VirtualService[] {
  return bindings(route, pointsOf).map((binding, index) => {
    const made = binding.gateway === meshGateway ? route.inMesh : route.atGateways;
    return virtualService(route.object, binding, {
      name: connectionRouteName(route.object.name, "tcp", index),
      part: { tcp: made.map((item) => ({ ...item.route, match: binding.port === 0 ? [] : [onlyPort(binding.port)] })) },
      sources: made.map(({ source }) => source),
    });
  });
}

export function tlsVirtualServices(route: ResolvedRoute<TlsRoute>, pointsOf: PointsOf): VirtualService[] {
  return bindings(route, pointsOf).map((binding, index) => {
    const isMesh = binding.gateway === meshGateway;
    const names = isMesh && route.object.spec.hostnames?.length ? route.object.spec.hostnames : [binding.host];
    const match = [{ ...onlyPort(binding.port), sniHosts: names }];
    const made = isMesh ? route.inMesh : route.atGateways;
    return virtualService(route.object, binding, {
      name: connectionRouteName(route.object.name, "tls", index),
      part: { tls: made.map((item) => ({ ...item.route, match })) },
      sources: made.map(({ source }) => source),
    });
  });
}

function onlyPort(port: number): TcpRoute["match"][number] {
  return { destinationSubnets: [], port, sourceSubnet: "", sourceLabels: {}, gateways: [], sourceNamespace: "" };
}

function bindings<Route>({ object, parents }: ResolvedRoute<Route>, pointsOf: PointsOf): Binding[] {
  const hostnames = object.spec.hostnames?.length ? object.spec.hostnames : ["*"];
  const found = parents.flatMap(({ ref, target }): Binding[] => {
    if (target.kind === "none") return [];
    if (target.kind === "mesh") {
      // A route in the Service's namespace is for all its clients, one elsewhere for those of its own namespace.
      const exportTo = target.namespace === object.namespace ? ["*"] : ["."];
      return target.hosts.map((host) => ({ gateway: meshGateway, host, written: host, exportTo, port: ref.port }));
    }
    return target.points
      .filter((point) => listenerFailure(point) === undefined)
      .flatMap((point) =>
        hostnames
          .filter((host) => isForListener(host, point, pointsOf(point)))
          .map((host) => ({
            gateway: point.internalName,
            written: host,
            host: intersectHosts(host, point.listener.hostname || "*") ?? host,
            exportTo: [],
            port: 0,
          })),
      );
  });
  // Two references may lead to the same listener.
  const byKey = new Map(
    found.map((binding) => [`${binding.gateway} ${binding.port} ${binding.host} ${binding.written}`, binding]),
  );
  return [...byKey.values()];
}

interface Part {
  readonly name: string;
  readonly part: Partial<Pick<VirtualServiceSpec, "http" | "tls" | "tcp">>;
  /** In the order of the routes. */
  readonly sources: readonly MadeRoute<unknown>["source"][];
}

function virtualService(first: AnyRoute, binding: Binding, { name, part, sources }: Part): VirtualService {
  return generated<VirtualServiceSpec>({
    kind: "VirtualService",
    name,
    namespace: first.namespace,
    createdAt: first.createdAt,
    annotations: { [routeSemanticsAnnotation]: gatewaySemantics },
    spec: {
      hosts: [binding.host],
      gateways: [binding.gateway],
      exportTo: binding.exportTo,
      http: [],
      tls: [],
      tcp: [],
      ...part,
    },
    sources,
    sourceOf: (path) => Number(/^spec\.(?:http|tls|tcp)\[(\d+)\]/.exec(path)?.[1] ?? 0),
  });
}
