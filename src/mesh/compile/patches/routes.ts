// EnvoyFilter patches on route configurations, virtual hosts and routes.
import { clone } from "@bufbuild/protobuf";
import {
  type Route,
  RouteSchema,
  type VirtualHost,
  VirtualHostSchema,
} from "#wire/gen/envoy/config/route/v3/route_components_pb.ts";
import { type RouteConfiguration, RouteConfigurationSchema } from "#wire/gen/envoy/config/route/v3/route_pb.ts";
import type { HttpConnectionManager } from "#wire/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts";
import { ApplyTo, Operation, RouteKind } from "../../kinds/envoy-filter/spec.ts";
import { parseGatewayRouteName } from "../../route-names.ts";
import { editList } from "./edit-list.ts";
import type { PatchSet, Place, ReadyPatch, ResourceContext } from "./patch-set.ts";
import { addOrigin } from "./provenance.ts";
import { copyOf, mergeValue } from "./values.ts";

/** Service ports by the port on which a gateway's pod listens; those that no Service maps are absent. */
export type GatewayPorts = ReadonlyMap<number, ReadonlySet<number>>;

const noPorts: GatewayPorts = new Map();

/** The same object when no patch concerns it. */
export function patchRouteConfiguration(
  patches: PatchSet | undefined,
  context: ResourceContext,
  original: RouteConfiguration,
  gatewayPorts: GatewayPorts = noPorts,
): RouteConfiguration {
  if (patches === undefined) return original;
  const ports = [...gatewayPorts].map(([port, services]) => `${port}:${[...services].join("+")}`).join(",");
  return patches.patched(original, `${context} ${ports}`, () => {
    const at = (place: Place): ReadyPatch[] =>
      patches.at(place, context).filter((patch) => isRouteConfiguration(original, context, patch, gatewayPorts));
    const hasAny = [ApplyTo.RouteConfiguration, ApplyTo.VirtualHost, ApplyTo.HttpRoute].some(
      (place) => at(place).length > 0,
    );
    if (!hasAny) return original;
    const configuration = clone(RouteConfigurationSchema, original);
    for (const patch of at(ApplyTo.RouteConfiguration)) {
      if (mergeValue(RouteConfigurationSchema, configuration, patch)) patches.note(patch);
    }
    patchVirtualHosts(patches, configuration, at(ApplyTo.VirtualHost), at(ApplyTo.HttpRoute));
    return configuration;
  });
}

/** Routes that stand in the connection manager itself, as they do inbound. True when they changed. */
export function patchInlineRoutes(
  patches: PatchSet,
  context: ResourceContext,
  manager: HttpConnectionManager,
): boolean {
  const { routeSpecifier } = manager;
  if (routeSpecifier.case !== "routeConfig") return false;
  const patched = patchRouteConfiguration(patches, context, routeSpecifier.value);
  if (patched === routeSpecifier.value) return false;
  manager.routeSpecifier = { case: "routeConfig", value: patched };
  return true;
}

function patchVirtualHosts(
  patches: PatchSet,
  configuration: RouteConfiguration,
  hostPatches: readonly ReadyPatch[],
  routePatches: readonly ReadyPatch[],
): void {
  configuration.virtualHosts = configuration.virtualHosts.flatMap(
    (host) => patchVirtualHost(patches, host, hostPatches, routePatches) ?? [],
  );
  for (const patch of hostPatches) {
    if (patch.operation !== Operation.Add) continue;
    patches.note(patch);
    configuration.virtualHosts.push(newHost(patch));
  }
}

function patchVirtualHost(
  patches: PatchSet,
  original: VirtualHost,
  hostPatches: readonly ReadyPatch[],
  routePatches: readonly ReadyPatch[],
): VirtualHost | undefined {
  let host = original;
  for (const patch of hostPatches) {
    if (!isVirtualHost(host, patch)) continue;
    const isWhole = patch.operation === Operation.Remove || patch.operation === Operation.Replace;
    if (isWhole) patches.note(patch);
    if (patch.operation === Operation.Remove) return undefined;
    if (patch.operation === Operation.Replace) host = newHost(patch);
    else if (mergeValue(VirtualHostSchema, host, patch)) {
      patches.note(patch);
      addOrigin(host, patch.origin);
    }
  }
  patchRoutes(
    patches,
    host,
    routePatches.filter((patch) => isVirtualHost(host, patch)),
  );
  return host;
}

function newHost(patch: ReadyPatch): VirtualHost {
  const host = copyOf(VirtualHostSchema, patch);
  addOrigin(host, patch.origin);
  return host;
}

function patchRoutes(set: PatchSet, host: VirtualHost, patches: readonly ReadyPatch[]): void {
  host.routes = host.routes.filter((route) => {
    for (const patch of patches) {
      if (!isRoute(route, patch)) continue;
      const isRemoved = patch.operation === Operation.Remove;
      const isMerged = mergeValue(RouteSchema, route, patch);
      if (isRemoved || isMerged) set.note(patch);
      if (isMerged) addOrigin(route, patch.origin);
      if (isRemoved) return false;
    }
    return true;
  });
  for (const patch of patches) {
    if (patch.operation === Operation.Remove) continue;
    const isTarget =
      patch.match?.routeConfiguration?.vhost?.route === undefined ? undefined : (route: Route) => isRoute(route, patch);
    const edit = { operation: patch.operation, isTarget, make: () => newRoute(patch) };
    if (editList<Route>(host.routes, edit)) set.note(patch);
  }
}

function newRoute(patch: ReadyPatch): Route {
  const route = copyOf(RouteSchema, patch);
  addOrigin(route, patch.origin);
  return route;
}

function isRouteConfiguration(
  { name }: RouteConfiguration,
  context: ResourceContext,
  { match }: ReadyPatch,
  gatewayPorts: GatewayPorts,
): boolean {
  const wanted = match?.routeConfiguration;
  if (wanted === undefined) return true;
  if (wanted.name !== "" && wanted.name !== name) return false;
  if (context !== "GATEWAY") return wanted.portNumber === 0 || wanted.portNumber === portOf(name);
  const { port, portName, gateway } = parseGatewayRouteName(name);
  const isPort =
    wanted.portNumber === 0 || (gatewayPorts.get(port)?.has(wanted.portNumber) ?? port === wanted.portNumber);
  return (
    isPort &&
    (wanted.portName === "" || wanted.portName === portName) &&
    (wanted.gateway === "" || wanted.gateway === gateway)
  );
}

/** `9080`, `inbound|9080||`; 0 for names without a port of their own. */
function portOf(name: string): number {
  const port = Number(name.startsWith("inbound|") ? name.split("|")[1] : name);
  return Number.isInteger(port) ? port : 0;
}

function isVirtualHost(host: VirtualHost, { match }: ReadyPatch): boolean {
  const wanted = match?.routeConfiguration?.vhost;
  if (wanted === undefined) return true;
  return (
    (wanted.name === "" || wanted.name === host.name) &&
    (wanted.domainName === "" || host.domains.includes(wanted.domainName))
  );
}

const actionOf: Readonly<Record<string, RouteKind>> = {
  route: RouteKind.Route,
  redirect: RouteKind.Redirect,
  directResponse: RouteKind.DirectResponse,
};

function isRoute(route: Route, { match }: ReadyPatch): boolean {
  const wanted = match?.routeConfiguration?.vhost?.route;
  if (wanted === undefined) return true;
  if (wanted.name !== "" && wanted.name !== route.name) return false;
  const action = actionOf[route.action.case ?? ""];
  return wanted.action === RouteKind.Any || action === undefined || action === wanted.action;
}
