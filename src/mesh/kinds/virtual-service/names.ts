// Expands the short names in a VirtualService: hosts, destinations, and gateways to `namespace/name`.
import { expandHost } from "../../objects/host.ts";
import type { NameScope } from "../../objects/kind.ts";
import { type Destination, type HttpRoute, meshGateway, type VirtualServiceSpec } from "./spec.ts";

export function expandVirtualService(spec: VirtualServiceSpec, scope: NameScope): VirtualServiceSpec {
  const destination = (item: Destination): Destination => ({
    ...item,
    host: expandHost(item.host, scope.namespace, scope.domain),
  });
  const gateways = (names: readonly string[]): string[] => names.map((name) => expandGateway(name, scope));
  const matches = <M extends { readonly gateways: readonly string[] }>(items: readonly M[]): M[] =>
    items.map((item) => ({ ...item, gateways: gateways(item.gateways) }));
  const targets = <R extends { readonly destination: Destination }>(items: readonly R[]): R[] =>
    items.map((item) => ({ ...item, destination: destination(item.destination) }));
  const http = (route: HttpRoute): HttpRoute => ({
    ...route,
    match: matches(route.match),
    route: targets(route.route),
    mirrors: targets(route.mirrors),
    ...(route.mirror !== undefined && { mirror: destination(route.mirror) }),
    ...(route.delegate !== undefined && {
      delegate: { ...route.delegate, namespace: route.delegate.namespace || scope.namespace },
    }),
  });
  return {
    ...spec,
    hosts: spec.hosts.map((host) => expandHost(host, scope.namespace, scope.domain)),
    gateways: gateways(spec.gateways),
    http: spec.http.map(http),
    tls: spec.tls.map((route) => ({ match: matches(route.match), route: targets(route.route) })),
    tcp: spec.tcp.map((route) => ({ match: matches(route.match), route: targets(route.route) })),
  };
}

/** `name` is in the VirtualService's namespace; `name.ns.svc.domain` is an older spelling of `ns/name`. */
function expandGateway(name: string, scope: NameScope): string {
  if (name === meshGateway || name.includes("/")) return name;
  const [first = "", namespace = "", svc] = name.split(".");
  return svc === "svc" ? `${namespace}/${first}` : `${scope.namespace}/${name}`;
}
