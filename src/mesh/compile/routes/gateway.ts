// Route configurations of a gateway: `http.8080` for all plain HTTP servers of a port, and one per TLS server that
// terminates HTTP. VirtualServices for the same host are joined, a route that matches everything last.
import { create } from "@bufbuild/protobuf";
import {
  type Route,
  type VirtualHost,
  VirtualHost_TlsRequirementType,
  VirtualHostSchema,
} from "#wire/gen/envoy/config/route/v3/route_components_pb.ts";
import { type RouteConfiguration, RouteConfigurationSchema } from "#wire/gen/envoy/config/route/v3/route_pb.ts";
import { type MeshObject, originAt, originsOf } from "../../objects/mesh-object.ts";
import type { ProxyNode } from "../../snapshot/proxy-node.ts";
import type { GatewayServer, MeshSnapshot } from "../../snapshot/snapshot.ts";
import { resourceMetadata } from "../metadata.ts";
import { bracketed } from "./domains.ts";
import { type RoutePlace, virtualServiceRoutes } from "./http-route.ts";
import { isCatchAll } from "./route-match.ts";

/** Compiles one route configuration of a gateway by name; undefined when no server has it. */
export function gatewayRoutes(snapshot: MeshSnapshot, proxy: ProxyNode, name: string): RouteConfiguration | undefined {
  const scope = snapshot.gateways(proxy);
  const servers = scope.listeners.flatMap((listener) => listener.servers.filter(({ routeName }) => routeName === name));
  const [first] = servers;
  if (first === undefined) return undefined;
  const port = first.server.port.number;
  const place: Omit<RoutePlace, "gateway"> = {
    proxy,
    scope,
    port,
    secure: terminatesTls(first),
    defaultRetries: snapshot.meshConfig.defaultHttpRetryPolicy,
  };
  const hosts = collectHosts(servers, place);
  const virtualHosts = [...hosts.values()]
    .filter(({ routes, redirects }) => routes.length > 0 || redirects)
    .map((host) => gatewayHost(host, port));
  const others = terminatesTls(first) ? misdirected(first, virtualHosts, port) : [];
  return create(RouteConfigurationSchema, {
    name,
    virtualHosts: virtualHosts.length > 0 ? [...virtualHosts.sort(byName), ...others] : [blackhole(port)],
    validateClusters: false,
    maxDirectResponseBodySizeBytes: 1024 * 1024,
    ignorePortInHostMatching: true,
  });
}

interface CollectedHost {
  readonly host: string;
  readonly routes: Route[];
  readonly objects: Set<MeshObject<unknown>>;
  /** A server for this host sends everything to https. */
  redirects: boolean;
}

function collectHosts(
  servers: readonly GatewayServer[],
  place: Omit<RoutePlace, "gateway">,
): Map<string, CollectedHost> {
  const hosts = new Map<string, CollectedHost>();
  const collected = (host: string): CollectedHost => {
    const known = hosts.get(host) ?? { host, routes: [], objects: new Set(), redirects: false };
    hosts.set(host, known);
    return known;
  };
  // The same VirtualService may reach a host through two servers; its routes count once.
  const seen = new Set<string>();
  for (const server of servers) {
    const redirects = server.server.tls?.httpsRedirect === true;
    for (const { virtualService, hosts: names, gateway } of server.virtualServices) {
      const routes = virtualServiceRoutes(virtualService, { ...place, gateway });
      if (routes.length === 0) continue;
      for (const name of names) {
        if (redirects) collected(name.toLowerCase()).redirects = true;
        const key = `${virtualService.namespace}/${virtualService.name} ${gateway} ${name}`;
        if (seen.has(key)) continue;
        seen.add(key);
        const host = collected(name.toLowerCase());
        host.routes.push(...routes);
        host.objects.add(virtualService).add(server.gateway);
      }
    }
    if (redirects) {
      for (const name of server.hosts) {
        const host = collected(name);
        host.redirects = true;
        host.objects.add(server.gateway);
      }
    }
  }
  return hosts;
}

function gatewayHost({ host, routes, objects, redirects }: CollectedHost, port: number): VirtualHost {
  return create(VirtualHostSchema, {
    name: `${bracketed(host)}:${port}`,
    domains: [bracketed(host)],
    routes: catchAllLast(routes),
    includeRequestAttemptCount: true,
    ...(redirects && { requireTls: VirtualHost_TlsRequirementType.ALL }),
    metadata: resourceMetadata({ origins: [...new Set([...objects].flatMap(originsOf))] }),
  });
}

/** Keeps the order of VirtualServices, but what matches everything must not hide what comes after. */
function catchAllLast(routes: readonly Route[]): Route[] {
  const isLast = (route: Route): boolean => route.match !== undefined && isCatchAll(route.match);
  return [...routes.filter((route) => !isLast(route)), ...routes.filter(isLast).slice(0, 1)];
}

/** A server without routes answers 404. */
function blackhole(port: number): VirtualHost {
  return create(VirtualHostSchema, { name: `blackhole:${port}`, domains: ["*"] });
}

/**
 * What a connection that was made for some names asks of others: 421, so that the client makes a connection of its own
 * (RFC 9113 9.1.2; browsers share connections between names of one certificate). Names of the server that no
 * VirtualService serves stay without a route.
 */
function misdirected(
  { gateway, index, hosts }: GatewayServer,
  served: readonly VirtualHost[],
  port: number,
): VirtualHost[] {
  if (hosts.includes("*")) return [];
  const taken = new Set(served.flatMap(({ domains }) => domains));
  const own = hosts.map(bracketed).filter((domain) => !taken.has(domain));
  const metadata = resourceMetadata({ origins: [originAt(gateway, `spec.servers[${index}]`)] });
  return [
    ...own.map((domain) => create(VirtualHostSchema, { name: `${domain}:${port}`, domains: [domain], metadata })),
    create(VirtualHostSchema, {
      name: `misdirected:${port}`,
      domains: ["*"],
      routes: [
        {
          match: { pathSpecifier: { case: "prefix", value: "/" } },
          action: { case: "directResponse", value: { status: 421 } },
          metadata,
        },
      ],
      metadata,
    }),
  ];
}

function terminatesTls({ server }: GatewayServer): boolean {
  return server.tls !== undefined && !server.tls.httpsRedirect && server.port.protocol.toUpperCase() !== "HTTP";
}

function byName(a: VirtualHost, b: VirtualHost): number {
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}
