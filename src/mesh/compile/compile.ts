// From a snapshot of the mesh to the Envoy resources of one proxy. Pure and deterministic: the same snapshot and
// proxy give equal messages in the same order. The parts can be asked for apart, for incremental pushes.
// Messages are shared between proxies and must not be changed.
import { layered, layersOf } from "#base/layered-map.ts";
import type { Cluster } from "#wire/gen/envoy/config/cluster/v3/cluster_pb.ts";
import { Cluster_DiscoveryType } from "#wire/gen/envoy/config/cluster/v3/cluster_pb.ts";
import type { ClusterLoadAssignment } from "#wire/gen/envoy/config/endpoint/v3/endpoint_pb.ts";
import type { Listener } from "#wire/gen/envoy/config/listener/v3/listener_pb.ts";
import type { RouteConfiguration } from "#wire/gen/envoy/config/route/v3/route_pb.ts";
import type { ProxyNode } from "../snapshot/proxy-node.ts";
import type { MeshSnapshot } from "../snapshot/snapshot.ts";
import { inboundCluster } from "./clusters/inbound.ts";
import { clustersOf, type OutboundScope, outboundClusters } from "./clusters/outbound.ts";
import { sniClusters } from "./clusters/sni-clusters.ts";
import {
  allowAnyDynamicDns,
  blackHoleCluster,
  inboundPassthrough,
  outboundPassthroughCluster,
} from "./clusters/special.ts";
import { clusterEndpoints, endpointInputs, endpointInputsOf } from "./endpoints/endpoints.ts";
import { discoversItself, ownPeers, ownPeersCluster } from "./endpoints/own-peers.ts";
import { type CompiledExtensions, compileExtensions } from "./extensions.ts";
import { gatewayListeners, gatewayRouteNames } from "./listeners/gateway.ts";
import { inboundListeners } from "./listeners/inbound.ts";
import { inboundPorts } from "./listeners/inbound-ports.ts";
import { outboundListeners, outboundRouteNames } from "./listeners/outbound.ts";
import { type PatchableCluster, patchClusters } from "./patches/clusters.ts";
import { patchListeners } from "./patches/listeners.ts";
import { type PatchSet, patchSetOf } from "./patches/patch-set.ts";
import { type GatewayPorts, patchRouteConfiguration } from "./patches/routes.ts";
import { resolvesUnknownHosts } from "./policy/unknown-traffic.ts";
import { addressFamily } from "./proxy-addresses.ts";
import type { DestinationScope } from "./routes/destination.ts";
import { gatewayRoutes } from "./routes/gateway.ts";
import { outboundRoutes } from "./routes/outbound.ts";
import { once, onceForAll } from "./shared-work.ts";

/** Resources by name. */
export interface CompiledResources extends CompiledExtensions {
  readonly listeners: ReadonlyMap<string, Listener>;
  readonly routes: ReadonlyMap<string, RouteConfiguration>;
  readonly clusters: ReadonlyMap<string, Cluster>;
  readonly endpoints: ReadonlyMap<string, ClusterLoadAssignment>;
  readonly patches: AppliedPatches;
}

/** Keys of the EnvoyFilter patches that changed something for a proxy, by what they changed. */
export interface AppliedPatches {
  readonly clusters: ReadonlySet<string>;
  /** Listeners, what their filters take by themselves, and routes. */
  readonly routing: ReadonlySet<string>;
}

/** Compiles everything that a proxy is to have. */
export function compileProxy(snapshot: MeshSnapshot, proxy: ProxyNode): CompiledResources {
  const applied = new Set<string>();
  const clusters = compileClusters(snapshot, proxy, applied);
  const { patches, ...routing } = compileRouting(snapshot, proxy);
  return {
    clusters,
    endpoints: compileAllEndpoints(snapshot, proxy, clusters),
    ...routing,
    patches: { clusters: applied, routing: patches.routing },
  };
}

export interface CompiledRouting extends CompiledExtensions, Pick<CompiledResources, "listeners" | "routes"> {
  readonly patches: Pick<AppliedPatches, "routing">;
  /** The listeners are the outbound ones only. */
  readonly inboundStays?: boolean;
}

/**
 * Compiles what a step between VirtualServices can change: listeners, what their filters take by themselves, and routes.
 * Of the inbound side of a sidecar that changes nothing.
 */
export function compileStepOfRoutes(snapshot: MeshSnapshot, proxy: ProxyNode): CompiledRouting {
  if (proxy.type === "router" || patchSetOf(snapshot, proxy) !== undefined) return compileRouting(snapshot, proxy);
  return {
    listeners: sharedListeners(snapshot, proxy, undefined),
    routes: compileRoutes(snapshot, proxy),
    ...compileExtensions(snapshot.extensions(proxy), undefined, new Set()),
    patches: { routing: new Set() },
    inboundStays: true,
  };
}

export interface CompiledServices extends CompiledRouting, Pick<CompiledResources, "clusters" | "endpoints"> {}

/**
 * Compiles what a step between services can change for a sidecar that runs none of them: their clusters and endpoints,
 * with listeners and routes. Undefined for proxies that have to be compiled as a whole.
 */
export function compileStepOfServices(
  snapshot: MeshSnapshot,
  proxy: ProxyNode,
  hostnames: Iterable<string>,
): CompiledServices | undefined {
  if (proxy.type === "router" || patchSetOf(snapshot, proxy) !== undefined) return undefined;
  const scope = snapshot.scope(proxy);
  const services = [...hostnames].flatMap((hostname) => scope.service(hostname) ?? []);
  const clusters = byName(clustersOf(snapshot, proxy, scope, services));
  const endpoints = compileEndpoints(snapshot, proxy, edsClusterNames(clusters));
  return { ...compileStepOfRoutes(snapshot, proxy), clusters, endpoints };
}

function compileRouting(snapshot: MeshSnapshot, proxy: ProxyNode): CompiledRouting {
  const routing = new Set<string>();
  const listeners = compileListeners(snapshot, proxy, routing);
  const routes = compileRoutes(snapshot, proxy, undefined, routing);
  const extensions = compileExtensions(snapshot.extensions(proxy), patchSetOf(snapshot, proxy), routing);
  return { listeners, routes, ...extensions, patches: { routing } };
}

/** Adds the patches that changed something to `applied`, as the functions below do. */
export function compileClusters(
  snapshot: MeshSnapshot,
  proxy: ProxyNode,
  applied?: Set<string>,
): ReadonlyMap<string, Cluster> {
  const patches = patchSetOf(snapshot, proxy);
  return recorded(patches, applied, () => patchedClusters(snapshot, proxy, patches));
}

function patchedClusters(
  snapshot: MeshSnapshot,
  proxy: ProxyNode,
  patches: PatchSet | undefined,
): ReadonlyMap<string, Cluster> {
  if (proxy.type === "router") {
    const scope = snapshot.gateways(proxy);
    const outbound = outboundClusters(snapshot, proxy, scope);
    const clusters = [...outbound, ...sniClusters(scope, outbound), blackHole(snapshot)];
    return byName(patchClusters(patches, "GATEWAY", clusters.map(patchable)));
  }
  const scope = snapshot.scope(proxy);
  const outbound = outboundClusters(snapshot, proxy, scope);
  const shared = sharedByName(outbound, patches, () => {
    const resolving = `AllowAnyDynamicDNSCluster ${addressFamily(proxy)}`;
    const all = [
      ...outbound,
      ...(resolvesUnknownHosts(scope) ? [once(snapshot, resolving, () => allowAnyDynamicDns(snapshot, proxy))] : []),
      blackHole(snapshot),
      once(snapshot, "PassthroughCluster", () => outboundPassthroughCluster(snapshot)),
    ];
    return patchClusters(patches, "SIDECAR_OUTBOUND", all.map(patchable));
  });
  const inbound = inboundPorts(snapshot, proxy).map((port) => ({
    cluster: inboundCluster(snapshot, proxy, port),
    hosts: [port.hostname],
  }));
  const own = patchClusters(patches, "SIDECAR_INBOUND", [...inbound, patchable(inboundPassthrough(snapshot, proxy))]);
  return layered(shared, byName(own));
}

export function compileListeners(
  snapshot: MeshSnapshot,
  proxy: ProxyNode,
  applied?: Set<string>,
): ReadonlyMap<string, Listener> {
  const patches = patchSetOf(snapshot, proxy);
  return recorded(patches, applied, () => patchedListeners(snapshot, proxy, patches));
}

function patchedListeners(
  snapshot: MeshSnapshot,
  proxy: ProxyNode,
  patches: PatchSet | undefined,
): ReadonlyMap<string, Listener> {
  if (proxy.type === "router") return byName(patchListeners(patches, "GATEWAY", gatewayListeners(snapshot, proxy)));
  const shared = sharedListeners(snapshot, proxy, patches);
  return layered(shared, byName(patchListeners(patches, "SIDECAR_INBOUND", inboundListeners(snapshot, proxy))));
}

/** The outbound ones. */
function sharedListeners(
  snapshot: MeshSnapshot,
  proxy: ProxyNode,
  patches: PatchSet | undefined,
): ReadonlyMap<string, Listener> {
  const outbound = outboundListeners(snapshot, proxy);
  return sharedByName(outbound, patches, () => patchListeners(patches, "SIDECAR_OUTBOUND", outbound));
}

/** Compiles the named route configurations, or all that the proxy's listeners ask for. */
export function compileRoutes(
  snapshot: MeshSnapshot,
  proxy: ProxyNode,
  names?: Iterable<string>,
  applied?: Set<string>,
): ReadonlyMap<string, RouteConfiguration> {
  const isGateway = proxy.type === "router";
  const all = names ?? (isGateway ? gatewayRouteNames(snapshot, proxy) : outboundRouteNames(snapshot, proxy));
  const routes = [...all].flatMap(
    (name) => (isGateway ? gatewayRoutes(snapshot, proxy, name) : outboundRoutes(snapshot, proxy, name)) ?? [],
  );
  const patches = patchSetOf(snapshot, proxy);
  const context = isGateway ? "GATEWAY" : "SIDECAR_OUTBOUND";
  const ports = isGateway && patches !== undefined ? servicePorts(snapshot, proxy) : undefined;
  return recorded(patches, applied, () =>
    byName(routes.map((route) => patchRouteConfiguration(patches, context, route, ports))),
  );
}

function recorded<Result>(patches: PatchSet | undefined, applied: Set<string> | undefined, work: () => Result): Result {
  return patches === undefined || applied === undefined ? work() : patches.recording(applied, work);
}

/** Service ports by the port on which the gateway's pod listens for them. */
function servicePorts(snapshot: MeshSnapshot, proxy: ProxyNode): GatewayPorts {
  const ports = new Map<number, Set<number>>();
  for (const { port, targetPort } of snapshot.serviceInstances(proxy)) {
    ports.set(targetPort, (ports.get(targetPort) ?? new Set()).add(port.number));
  }
  return ports;
}

/** Compiles the endpoints of the named clusters, or of all clusters of the proxy that take endpoints over EDS. */
export function compileEndpoints(
  snapshot: MeshSnapshot,
  proxy: ProxyNode,
  clusterNames?: Iterable<string>,
): ReadonlyMap<string, ClusterLoadAssignment> {
  if (clusterNames === undefined) return compileAllEndpoints(snapshot, proxy, compileClusters(snapshot, proxy));
  const named = [...clusterNames];
  const names = named.filter((name) => name !== ownPeersCluster);
  const scope = outboundScope(snapshot, proxy);
  const key = `endpoints of ${names.join()} for ${endpointInputsOf(snapshot, proxy, scope, names)}`;
  const shared = onceForAll([snapshot, scope], key, () => assignments(snapshot, proxy, scope, names));
  return names.length === named.length ? shared : layered(shared, peersOf(snapshot, proxy));
}

function assignments(
  snapshot: MeshSnapshot,
  proxy: ProxyNode,
  scope: OutboundScope & DestinationScope,
  names: readonly string[],
): ReadonlyMap<string, ClusterLoadAssignment> {
  return new Map(names.map((name) => [name, clusterEndpoints(snapshot, proxy, scope, name)]));
}

function peersOf(snapshot: MeshSnapshot, proxy: ProxyNode): ReadonlyMap<string, ClusterLoadAssignment> {
  return new Map([[ownPeersCluster, ownPeers(snapshot, proxy)]]);
}

/** For a layer of clusters that proxies share they share the endpoints too, as far as they prefer the same. */
function compileAllEndpoints(
  snapshot: MeshSnapshot,
  proxy: ProxyNode,
  clusters: ReadonlyMap<string, Cluster>,
): ReadonlyMap<string, ClusterLoadAssignment> {
  const scope = outboundScope(snapshot, proxy);
  const key = `endpoints ${endpointInputs(snapshot, proxy, scope)}`;
  const all = layersOf(clusters)
    .map((layer) =>
      onceForAll([snapshot, scope, layer], key, () => assignments(snapshot, proxy, scope, edsClusterNames(layer))),
    )
    .reduce((shared, own) => layered(shared, own));
  return discoversItself(proxy) ? layered(all, peersOf(snapshot, proxy)) : all;
}

function outboundScope(snapshot: MeshSnapshot, proxy: ProxyNode): OutboundScope & DestinationScope {
  return proxy.type === "router" ? snapshot.gateways(proxy) : snapshot.scope(proxy);
}

function edsClusterNames(clusters: ReadonlyMap<string, Cluster>): string[] {
  const names = [...clusters.values()]
    .filter(({ clusterDiscoveryType: { case: kind, value } }) => kind === "type" && value === Cluster_DiscoveryType.EDS)
    .map(({ name, edsClusterConfig }) => edsClusterConfig?.serviceName || name);
  // Clusters may share endpoints.
  return [...new Set(names)];
}

function patchable(cluster: Cluster): PatchableCluster {
  return { cluster };
}

/** What is made of a list by patches, once for all who share both. */
function sharedByName<Resource extends { readonly name: string }>(
  list: readonly Resource[],
  patches: PatchSet | undefined,
  patched: () => readonly Resource[],
): ReadonlyMap<string, Resource> {
  const make = (): ReadonlyMap<string, Resource> => byName(patched());
  return patches === undefined ? once(list, "by name", make) : patches.patched(list, "by name", make);
}

function blackHole(snapshot: MeshSnapshot): Cluster {
  return once(snapshot, "BlackHoleCluster", () => blackHoleCluster(snapshot));
}

/** The first of equal names stays. */
function byName<Resource extends { readonly name: string }>(resources: readonly Resource[]): Map<string, Resource> {
  const map = new Map<string, Resource>();
  for (const resource of resources) if (!map.has(resource.name)) map.set(resource.name, resource);
  return map;
}
