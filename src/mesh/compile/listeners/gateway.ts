// Listeners of a gateway: `0.0.0.0_8080` for plain HTTP with routes over RDS, a filter chain per TLS server chosen by
// server name, and TCP servers.

import { create } from "@bufbuild/protobuf";
import { blockKey } from "#base/net/cidr-map.ts";
import { TrafficDirection } from "#wire/gen/envoy/config/core/v3/base_pb.ts";
import type { Filter, FilterChain } from "#wire/gen/envoy/config/listener/v3/listener_components_pb.ts";
import { type Listener, ListenerSchema } from "#wire/gen/envoy/config/listener/v3/listener_pb.ts";
import { originAt } from "../../objects/mesh-object.ts";
import type { ProxyNode } from "../../snapshot/proxy-node.ts";
import type { GatewayListener, GatewayScope, GatewayServer, MeshSnapshot } from "../../snapshot/snapshot.ts";
import { sniClusterName, sniDestinations } from "../clusters/sni-clusters.ts";
import { cidrRange, socketAddress } from "../envoy-values.ts";
import { httpWithExtensions, listenerExtensions, tcpWithExtensions } from "../filters/extensions.ts";
import { forwardProxyFilters } from "../filters/forward-proxy.ts";
import { httpConnectionManager } from "../filters/http-connection-manager.ts";
import { httpFilterChain } from "../filters/http-filters.ts";
import { proxyProtocol, tlsInspector } from "../filters/listener-filters.ts";
import { tcpProxy } from "../filters/network-filters.ts";
import { type WorkloadAuthorization, workloadAuthorization } from "../filters/rbac/workload-authorization.ts";
import { listenerTelemetry } from "../filters/telemetry.ts";
import { resourceMetadata } from "../metadata.ts";
import { listenerName } from "../names.ts";
import { isHttp } from "../protocol.ts";
import { wildcard } from "../proxy-addresses.ts";
import { sessionsInUse } from "../routes/persistent-session.ts";
import { serverTls } from "../tls/downstream.ts";
import { type ChainMatch, filterChain, listenerDefaults } from "./chain.ts";
import { gatewayHops, gatewayTopology } from "./gateway-topology.ts";
import { pathNormalization } from "./outbound-http.ts";
import { tcpChoices, tcpRouteFilters, tlsChoices } from "./tcp-destinations.ts";

export function gatewayListeners(snapshot: MeshSnapshot, proxy: ProxyNode): Listener[] {
  const scope = snapshot.gateways(proxy);
  const context: GatewayContext = {
    snapshot,
    proxy,
    scope,
    authorization: workloadAuthorization(snapshot, proxy, scope),
  };
  return scope.listeners.flatMap((listener) => gatewayListener(context, listener) ?? []);
}

/** The route configurations that the listeners will ask for. */
export function gatewayRouteNames(snapshot: MeshSnapshot, proxy: ProxyNode): string[] {
  const names = snapshot
    .gateways(proxy)
    .listeners.flatMap(({ servers }) => servers.map(({ routeName }) => routeName).filter((name) => name !== ""));
  return [...new Set(names)].sort();
}

interface GatewayContext {
  readonly snapshot: MeshSnapshot;
  readonly proxy: ProxyNode;
  readonly scope: GatewayScope;
  readonly authorization: WorkloadAuthorization;
}

function gatewayListener(context: GatewayContext, listener: GatewayListener): Listener | undefined {
  const chains = listenerChains(context, listener);
  // Envoy refuses a listener without chains: a TCP server needs a route before it can listen.
  if (chains.length === 0) return undefined;
  const bind = listener.bind || wildcard(context.proxy);
  const objects = new Set(listener.servers.map(({ gateway }) => gateway));
  return create(ListenerSchema, {
    ...listenerDefaults(context.snapshot, listenerTelemetry(context.snapshot, context.proxy, "gateway")),
    name: listenerName(bind, listener.port),
    address: socketAddress(bind, listener.port),
    trafficDirection: TrafficDirection.OUTBOUND,
    filterChains: chains,
    // A PROXY header comes before everything that an inspector looks at.
    listenerFilters: [
      ...(gatewayTopology(context.snapshot, context.proxy).proxyProtocol === undefined ? [] : [proxyProtocol()]),
      ...(listener.family === "tls" ? [tlsInspector()] : []),
    ],
    metadata: resourceMetadata({ origins: [...objects].map(({ origin }) => origin) }),
  });
}

function listenerChains(context: GatewayContext, listener: GatewayListener): FilterChain[] {
  switch (listener.family) {
    case "http": {
      const [first] = listener.servers;
      if (first === undefined) return [];
      const origins = listener.servers.map((server) => originAt(server.gateway, `spec.servers[${server.index}]`));
      return [
        filterChain({
          filters: [httpFilters(context, listener, first.routeName)],
          origins,
          policies: context.authorization.origins,
        }),
      ];
    }
    case "tcp":
      return withoutRepeatedMatches(
        listener.servers.flatMap((server) => tcpChains(context, server, tcpChoices, undefined)),
      );
    case "tls":
      return withoutRepeatedMatches(listener.servers.flatMap((server) => tlsChains(context, listener, server)));
  }
}

function httpFilters(context: GatewayContext, listener: GatewayListener, routeName: string, statPrefix = ""): Filter {
  const { snapshot, authorization } = context;
  const telemetry = listenerTelemetry(snapshot, context.proxy, "gateway");
  const port = listener.servers[0]?.server.port.number ?? listener.port;
  const extensions = listenerExtensions(snapshot, context.proxy, "gateway", port);
  const bind = listener.bind || wildcard(context.proxy);
  return httpConnectionManager({
    class: "gateway",
    statPrefix: statPrefix || `outbound_${listenerName(bind, listener.port)}`,
    routes: routeName,
    httpFilters: httpFilterChain({
      class: "gateway",
      grpcWeb: listener.servers.some(({ protocol }) => protocol === "GRPC-Web"),
      authorization: httpWithExtensions(extensions, authorization),
      sessions: sessionsInUse(context.scope),
      stats: telemetry.httpStats,
      forwardProxies: forwardProxyFilters(snapshot, context.proxy, context.scope),
    }),
    accessLogs: telemetry.logs,
    tracing: telemetry.tracing,
    ...gatewayHops(snapshot, context.proxy),
    pathNormalization: pathNormalization(snapshot),
  });
}

/** A TLS server: ends TLS and speaks HTTP or TCP behind it, or passes TLS on by server name. */
function tlsChains(context: GatewayContext, listener: GatewayListener, server: GatewayServer): FilterChain[] {
  const { tls } = server.server;
  const mode = tls?.mode ?? "PASSTHROUGH";
  if (tls === undefined || mode === "PASSTHROUGH") return tcpChains(context, server, tlsChoices, undefined);
  if (mode === "AUTO_PASSTHROUGH") return sniChains(context, server);
  const isHttpServer = isHttp(server.protocol) || server.protocol === "HTTPS";
  const socket = serverTls(tls, isHttpServer ? "http" : "tcp", context.snapshot.meshConfig);
  if (!isHttpServer) {
    // A TLSRoute may lead on what a listener of the Gateway API has ended; Istio's kinds have `tcp` for that.
    const isOfGatewayApi = server.gateway.madeFrom !== undefined;
    return tcpChains(context, server, isOfGatewayApi ? allChoices : tcpChoices, socket);
  }
  return [
    filterChain({
      match: { serverNames: serverNames(server.hosts) },
      // As in Istio only servers with TLS count under their own names: plain ones share their connection manager.
      filters: [httpFilters(context, listener, server.routeName, server.server.name)],
      tls: socket,
      origins: [originAt(server.gateway, `spec.servers[${server.index}]`)],
      policies: context.authorization.origins,
    }),
  ];
}

const allChoices: typeof tcpChoices = (object, place) => [...tlsChoices(object, place), ...tcpChoices(object, place)];

/** A chain per service, port and subset, for mutual TLS of the mesh that is meant for them. */
function sniChains({ snapshot, proxy, scope, authorization }: GatewayContext, server: GatewayServer): FilterChain[] {
  const telemetry = listenerTelemetry(snapshot, proxy, "gateway");
  const extensions = listenerExtensions(snapshot, proxy, "gateway", server.server.port.number);
  const before = tcpWithExtensions(extensions, authorization);
  return sniDestinations(scope, server).map((outbound) => {
    const cluster = sniClusterName(outbound);
    return filterChain({
      match: { serverNames: [cluster], applicationProtocols: meshAlpn },
      filters: [
        ...before,
        ...telemetry.tcpStats,
        tcpProxy({
          statPrefix: cluster,
          destinations: [{ cluster, weight: 1 }],
          accessLogs: telemetry.logs,
        }),
      ],
      origins: [originAt(server.gateway, `spec.servers[${server.index}]`)],
      policies: authorization.tcpOrigins,
    });
  });
}

/** What sidecars offer to each other. */
const meshAlpn = ["istio-peer-exchange", "istio", "istio-http/1.0", "istio-http/1.1", "istio-h2"];

function tcpChains(
  context: GatewayContext,
  server: GatewayServer,
  choicesOf: typeof tcpChoices,
  socket: FilterChain["transportSocket"],
): FilterChain[] {
  const { snapshot, proxy, authorization } = context;
  const port = server.server.port.number;
  const telemetry = listenerTelemetry(snapshot, proxy, "gateway");
  const before = tcpWithExtensions(listenerExtensions(snapshot, proxy, "gateway", port), authorization);
  return server.virtualServices.flatMap(({ virtualService, gateway }) =>
    choicesOf(virtualService, { proxy, gateway, port }).map((choice) => {
      const names = choice.serverNames.length > 0 ? choice.serverNames : socket === undefined ? [] : server.hosts;
      const prefixRanges = choice.destinationSubnets.flatMap((range) => cidrRange(range) ?? []);
      const match: ChainMatch = { serverNames: serverNames(names), prefixRanges };
      const isSpecific = serverNames(names).length > 0 || prefixRanges.length > 0;
      return filterChain({
        ...(isSpecific && { match }),
        filters: [...before, ...telemetry.tcpStats, ...tcpRouteFilters(context, choice, port, telemetry)],
        tls: socket,
        origins: [choice.origin, originAt(server.gateway, `spec.servers[${server.index}]`)],
        policies: authorization.tcpOrigins,
      });
    }),
  );
}

/** `*` is every name, which Envoy writes as none. */
function serverNames(hosts: readonly string[]): string[] {
  return hosts.includes("*") ? [] : [...new Set(hosts)];
}

/** Envoy refuses two chains that match the same; the first one stays. */
function withoutRepeatedMatches(chains: readonly FilterChain[]): FilterChain[] {
  const taken = new Set<string>();
  return chains.filter(({ filterChainMatch: match }) => {
    const names = match === undefined || match.serverNames.length === 0 ? ["*"] : match.serverNames;
    const ranges = (match?.prefixRanges ?? []).map((range) => blockKey(`${range.addressPrefix}/${range.prefixLen}`));
    const keys = names.flatMap((name) => (ranges.length === 0 ? [""] : ranges).map((range) => `${name} ${range}`));
    if (keys.some((key) => taken.has(key))) return false;
    for (const key of keys) taken.add(key);
    return true;
  });
}
