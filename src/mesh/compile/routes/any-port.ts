// Routes of listeners that serve every port: a Unix socket of a Sidecar's egress, and the mesh's HTTP proxy. The port
// that is meant stands in the Host header; without one it is 80.
import { create } from "@bufbuild/protobuf";
import { type VirtualHost, VirtualHostSchema } from "#wire/gen/envoy/config/route/v3/route_components_pb.ts";
import type { ServicePort } from "../../snapshot/service.ts";
import type { EgressListener, SidecarScope } from "../../snapshot/snapshot.ts";
import { isUnixSocket } from "../envoy-values.ts";
import { httpProxyRoutes } from "../names.ts";
import { isUdp, listenerProtocol } from "../protocol.ts";

/** The egress listener whose routes have this name; undefined for names of routes of one port. */
export function anyPortListener(scope: SidecarScope, routeName: string): EgressListener | undefined {
  if (routeName === httpProxyRoutes) return scope.egressListeners.find(({ port }) => port === undefined);
  return isUnixSocket(routeName) ? scope.egressListeners.find(({ bind }) => bind === routeName) : undefined;
}

/** Builds the hosts of every port on which HTTP is spoken; `hostsOf` gives those of one. */
export function anyPortHosts(
  listener: EgressListener,
  hostsOf: (port: number) => readonly VirtualHost[],
): VirtualHost[] {
  const ports = new Set(
    listener.services.flatMap(({ ports: all }) => all.filter(isHttpPort).map(({ number }) => number)),
  );
  return [...ports].sort((a, b) => a - b).flatMap((port) => hostsOf(port).map((host) => withPort(host, port)));
}

function isHttpPort({ protocol }: ServicePort): boolean {
  return !isUdp(protocol) && listenerProtocol(protocol) !== "tcp";
}

function withPort(host: VirtualHost, port: number): VirtualHost {
  const named = host.domains.map((domain) => `${domain}:${port}`);
  return create(VirtualHostSchema, { ...host, domains: port === 80 ? [...host.domains, ...named] : named });
}
