// Outbound route configurations of a sidecar: `9080` for all HTTP services on a port, and
// `reviews.default.svc.cluster.local:9080` for a port whose protocol is found out by looking.
import { create } from "@bufbuild/protobuf";
import {
  type Route,
  type VirtualHost,
  VirtualHostSchema,
} from "#wire/gen/envoy/config/route/v3/route_components_pb.ts";
import { type RouteConfiguration, RouteConfigurationSchema } from "#wire/gen/envoy/config/route/v3/route_pb.ts";
import { meshGateway } from "../../kinds/virtual-service/spec.ts";
import type { OutboundMode } from "../../objects/fields/outbound-traffic-policy.ts";
import { originsOf } from "../../objects/mesh-object.ts";
import type { ProxyNode } from "../../snapshot/proxy-node.ts";
import type { Service } from "../../snapshot/service.ts";
import { servicePort } from "../../snapshot/service.ts";
import type { EgressListener, MeshSnapshot, SidecarScope } from "../../snapshot/snapshot.ts";
import { milliseconds } from "../envoy-values.ts";
import { resourceMetadata } from "../metadata.ts";
import { allowAnyDynamicDnsVirtualHost, allowAnyVirtualHost, blockAllVirtualHost, serviceRouteName } from "../names.ts";
import { unknownRequestsCluster, unknownTraffic } from "../policy/unknown-traffic.ts";
import { nobody, once, onceForAll } from "../shared-work.ts";
import { anyPortHosts, anyPortListener } from "./any-port.ts";
import { bracketed } from "./domains.ts";
import { defaultRoute, type RoutePlace, virtualServiceRoutes } from "./http-route.ts";
import { clientKey, clientKeyFor, destinationsOf } from "./inputs.ts";
import { sessionSettings } from "./persistent-session.ts";
import { byName, hostName, type ServiceHost, type ServiceHosts, serviceHosts } from "./service-hosts.ts";
import {
  type HostIndex,
  indexByHost,
  matchesSuffix,
  type VirtualService,
  virtualServicesFor,
} from "./virtual-service-hosts.ts";

const maxDirectResponseBytes = 1024 * 1024;
const anyDomain = ["*"];

/**
 * Compiles one route configuration by name; a name that means nothing gives one without virtual hosts. Proxies of one
 * scope share the result, and scopes share the virtual hosts.
 */
export function outboundRoutes(snapshot: MeshSnapshot, proxy: ProxyNode, name: string): RouteConfiguration {
  const scope = snapshot.scope(proxy);
  const key = `routes ${name} ${proxy.namespace} ${proxy.clusterDomain} ${proxy.dnsCapture} ${clientKey(scope, proxy)}`;
  return once(scope, key, () => compileRoutes(snapshot, proxy, name));
}

function compileRoutes(snapshot: MeshSnapshot, proxy: ProxyNode, name: string): RouteConfiguration {
  const scope = snapshot.scope(proxy);
  const anyPort = anyPortListener(scope, name);
  return create(RouteConfigurationSchema, {
    name,
    virtualHosts:
      anyPort === undefined
        ? hostsOfOnePort(snapshot, proxy, name)
        : [...anyPortHosts(anyPort, (port) => allHosts(hostBuilder(snapshot, proxy, anyPort, port))), catchAll(scope)],
    validateClusters: false,
    maxDirectResponseBodySizeBytes: maxDirectResponseBytes,
    ignorePortInHostMatching: anyPort === undefined,
  });
}

/** Hosts of `9080` or of `reviews.default.svc.cluster.local:9080`. */
function hostsOfOnePort(snapshot: MeshSnapshot, proxy: ProxyNode, name: string): VirtualHost[] {
  const colon = name.lastIndexOf(":");
  const port = Number(name.slice(colon + 1));
  const { egressListeners } = snapshot.scope(proxy);
  const listener =
    egressListeners.find((item) => item.port?.number === port) ??
    egressListeners.find((item) => item.port === undefined);
  if (!Number.isInteger(port) || port <= 0 || listener === undefined) return [];
  const builder = hostBuilder(snapshot, proxy, listener, port);
  if (colon !== -1) return serviceHost(builder, name.slice(0, colon));
  return [...allHosts(builder), catchAll(builder.scope)];
}

interface HostBuilder {
  readonly snapshot: MeshSnapshot;
  readonly scope: SidecarScope;
  readonly listener: EgressListener;
  readonly place: RoutePlace;
  readonly index: HostIndex;
  readonly routesOf: (object: VirtualService) => Route[];
}

function hostBuilder(snapshot: MeshSnapshot, proxy: ProxyNode, listener: EgressListener, port: number): HostBuilder {
  const scope = snapshot.scope(proxy);
  const place: RoutePlace = {
    proxy,
    scope,
    gateway: meshGateway,
    port,
    secure: false,
    defaultRetries: snapshot.meshConfig.defaultHttpRetryPolicy,
  };
  const compiled = new Map<VirtualService, Route[]>();
  const routesOf = (object: VirtualService): Route[] => {
    const known = compiled.get(object) ?? sharedRoutes(object, place);
    compiled.set(object, known);
    return known;
  };
  return { snapshot, scope, listener, place, index: indexByHost(listener.virtualServices), routesOf };
}

/** The same list for all scopes in which the destinations are the same services under the same rules. */
function sharedRoutes(object: VirtualService, place: RoutePlace): Route[] {
  const { proxy, scope, port, defaultRetries = nobody } = place;
  const key = `routes ${port} ${clientKeyFor(object, proxy)}`;
  return onceForAll([object, defaultRetries, ...destinationsOf(object, scope)], key, () =>
    virtualServiceRoutes(object, place),
  );
}

function allHosts(builder: HostBuilder): VirtualHost[] {
  const { listener, place } = builder;
  const planned = serviceHosts(listener.services, place.port, place.proxy);
  const hosts = new Map<string, VirtualHost>();
  for (const host of planned.hosts) hosts.set(host.name, plannedHost(builder, host));
  const losing = new Set<ServiceHost>();
  const inOrder = hosts.size;
  const taken = new Set<string>();
  for (const { host, object } of foreignHosts(builder, planned)) {
    const name = hostName(host, place.port);
    const domain = bracketed(host);
    const routes = builder.routesOf(object);
    if (hosts.has(name) || routes.length === 0 || taken.has(domain)) continue;
    const owner = planned.domains.has(domain) ? ownerOf(planned, domain) : undefined;
    if (owner !== undefined) {
      if (comesFirst(listener, spokenRoutes(builder, owner.service)?.object, object)) continue;
      losing.add(owner);
    }
    taken.add(domain);
    hosts.set(name, virtualHost(name, [domain], routes, [object]));
  }
  for (const owner of losing) {
    const rest = withoutDomains(builder, owner, taken);
    if (rest === undefined) hosts.delete(owner.name);
    else hosts.set(owner.name, rest);
  }
  return hosts.size === inOrder ? [...hosts.values()] : [...hosts.values()].sort(byName);
}

/** Most are what they were in the last snapshot: looking that up is most of the work of a change of one. */
function plannedHost(builder: HostBuilder, planned: ServiceHost): VirtualHost {
  const { service, name, domains } = planned;
  const spoken = spokenRoutes(builder, service);
  const routes = spoken?.routes ?? plainRoutes(builder, planned);
  if (planned.made?.routes !== routes) {
    planned.made = { routes, host: virtualHost(name, domains, routes, [spoken?.object, service], service) };
  }
  return planned.made.host;
}

function plainRoutes(builder: HostBuilder, planned: ServiceHost): Route[] {
  const { scope, defaultRetries: retries = nobody } = builder.place;
  const rule = scope.destinationRule(planned.service) ?? nobody;
  if (planned.plain?.rule !== rule || planned.plain.retries !== retries) {
    planned.plain = { rule, retries, routes: ownRoutes(builder, planned.service) };
  }
  return planned.plain.routes;
}

/** Of a name that a service has beside its own, the earlier VirtualService decides; a service without any comes last. */
function comesFirst(
  { virtualServices }: EgressListener,
  ofService: VirtualService | undefined,
  ofHost: VirtualService,
): boolean {
  return ofService !== undefined && virtualServices.indexOf(ofService) <= virtualServices.indexOf(ofHost);
}

/** Few hosts are another's name: they are looked for one by one. */
function ownerOf({ hosts }: ServiceHosts, domain: string): ServiceHost | undefined {
  return hosts.find(({ domains }) => domains.some((name) => name.toLowerCase() === domain));
}

/** Undefined when nothing is left of it. */
function withoutDomains(
  builder: HostBuilder,
  { service, name, domains }: ServiceHost,
  taken: ReadonlySet<string>,
): VirtualHost | undefined {
  const free = domains.filter((domain) => !taken.has(domain));
  const { routes, object } = routesFor(builder, service);
  return free.length === 0 ? undefined : virtualHost(name, free, routes, [object, service], service);
}

/** A listener that serves one service needs no Host to choose. */
function serviceHost(builder: HostBuilder, hostname: string): VirtualHost[] {
  const service = builder.listener.services.find((item) => item.hostname === hostname);
  if (service === undefined || servicePort(service, builder.place.port) === undefined) return [];
  const { routes, object } = routesFor(builder, service);
  return [virtualHost(serviceRouteName(hostname, builder.place.port), anyDomain, routes, [object, service], service)];
}

/** Routes of the first VirtualService that has any for this place, else the service's own. */
function routesFor(builder: HostBuilder, service: Service): { routes: Route[]; object: VirtualService | undefined } {
  return spokenRoutes(builder, service) ?? { routes: ownRoutes(builder, service), object: undefined };
}

function spokenRoutes(
  { index, routesOf }: HostBuilder,
  service: Service,
): { routes: Route[]; object: VirtualService } | undefined {
  if (index.wildcards.length === 0 && !index.exact.has(service.hostname)) return undefined;
  for (const object of virtualServicesFor(index, service.hostname)) {
    const routes = routesOf(object);
    if (routes.length > 0) return { routes, object };
  }
  return undefined;
}

function ownRoutes({ place }: HostBuilder, service: Service): Route[] {
  const { port, scope, defaultRetries = nobody } = place;
  const owners: [object, ...object[]] = [service, scope.destinationRule(service) ?? nobody, defaultRetries];
  return onceForAll(owners, `default ${port}`, () => [defaultRoute(service, place)]);
}

/**
 * Hosts of VirtualServices that no service carries. On port 80 all of them are served; on other ports those whose
 * VirtualService is also about a service of that port.
 */
function foreignHosts(
  { listener, place }: HostBuilder,
  { known, served }: ServiceHosts,
): { host: string; object: VirtualService }[] {
  const isServed = (host: string): boolean =>
    host.startsWith("*") ? [...served].some((name) => matchesSuffix(name, host.slice(1))) : served.has(host);
  return listener.virtualServices.flatMap((object) => {
    const hosts = object.spec.hosts.map((host) => host.toLowerCase());
    if (place.port !== 80 && !hosts.some(isServed)) return [];
    return hosts.filter((host) => !known.has(host) && !isServed(host)).map((host) => ({ host, object }));
  });
}

type VirtualHostOrigins = readonly (VirtualService | Service | undefined)[];

/** The routes determine where they came from. */
function virtualHost(
  name: string,
  domains: string[],
  routes: Route[],
  origins: VirtualHostOrigins,
  service?: Service,
): VirtualHost {
  return onceForAll([routes, domains, service ?? nobody], name, () =>
    create(VirtualHostSchema, {
      name,
      domains,
      routes,
      includeRequestAttemptCount: true,
      typedPerFilterConfig: sessionSettings(service),
      metadata: resourceMetadata({ origins: origins.flatMap((item) => (item === undefined ? [] : originsOf(item))) }),
    }),
  );
}

const catchAllNames: Readonly<Record<OutboundMode, string>> = {
  REGISTRY_ONLY: blockAllVirtualHost,
  ALLOW_ANY: allowAnyVirtualHost,
  ALLOW_ANY_DYNAMIC_DNS: allowAnyDynamicDnsVirtualHost,
};

/** What happens to hosts that the mesh does not know. */
export function catchAll(scope: SidecarScope): VirtualHost {
  const { origins, note } = unknownTraffic(scope);
  const isAllowed = scope.outboundTrafficPolicy !== "REGISTRY_ONLY";
  const name = catchAllNames[scope.outboundTrafficPolicy];
  const noTimeout = milliseconds(0);
  return create(VirtualHostSchema, {
    name,
    domains: ["*"],
    includeRequestAttemptCount: true,
    routes: [
      {
        name,
        match: { pathSpecifier: { case: "prefix", value: "/" } },
        action: isAllowed
          ? {
              case: "route",
              value: {
                clusterSpecifier: { case: "cluster", value: unknownRequestsCluster(scope) },
                timeout: noTimeout,
                maxGrpcTimeout: noTimeout,
              },
            }
          : { case: "directResponse", value: { status: 502 } },
      },
    ],
    metadata: resourceMetadata({ origins, note }),
  });
}
