// `virtualInbound`: where captured connections to the workload arrive. Filter chains per port and mutual TLS mode,
// and passthrough chains for ports that no service names. Beside it the listeners of ports that are not captured.
import { create } from "@bufbuild/protobuf";
import type { Origin } from "#base/issue.ts";
import { TrafficDirection, type TransportSocket } from "#wire/gen/envoy/config/core/v3/base_pb.ts";
import type { Filter, FilterChain } from "#wire/gen/envoy/config/listener/v3/listener_components_pb.ts";
import { type Listener, ListenerSchema } from "#wire/gen/envoy/config/listener/v3/listener_pb.ts";
import type { ServerTlsSettings } from "../../objects/fields/server-tls.ts";
import type { ProxyNode } from "../../snapshot/proxy-node.ts";
import type { MeshSnapshot, MtlsDecision } from "../../snapshot/snapshot.ts";
import { socketAddress } from "../envoy-values.ts";
import {
  beforeHttp,
  httpWithExtensions,
  type ListenerExtensions,
  listenerExtensions,
  tcpWithExtensions,
} from "../filters/extensions.ts";
import { httpConnectionManager } from "../filters/http-connection-manager.ts";
import { httpFilterChain } from "../filters/http-filters.ts";
import { inspectorsFor, originalDestination } from "../filters/listener-filters.ts";
import { metadataExchange, tcpProxy } from "../filters/network-filters.ts";
import { type WorkloadAuthorization, workloadAuthorization } from "../filters/rbac/workload-authorization.ts";
import { type ListenerTelemetry, listenerTelemetry } from "../filters/telemetry.ts";
import { resourceMetadata } from "../metadata.ts";
import {
  chainNames,
  inboundClusterName,
  inboundPassthroughCluster,
  listenerName,
  virtualInboundListener,
} from "../names.ts";
import { isGrpc, type ListenerProtocol, listenerProtocol } from "../protocol.ts";
import { wildcard } from "../proxy-addresses.ts";
import { inboundRoutes } from "../routes/inbound.ts";
import { inboundMutualTls, serverTls } from "../tls/downstream.ts";
import { clusterChain, filterChain, listenerDefaults, ownPort, trustDomains } from "./chain.ts";
import { inboundChainChoices, userTlsChainChoices } from "./inbound-matrix.ts";
import { type InboundPort, inboundPorts } from "./inbound-ports.ts";
import { pathNormalization } from "./outbound-http.ts";

export function inboundListeners(snapshot: MeshSnapshot, proxy: ProxyNode): Listener[] {
  const context: InboundContext = {
    snapshot,
    proxy,
    authorization: workloadAuthorization(snapshot, proxy, snapshot.scope(proxy)),
    telemetry: listenerTelemetry(snapshot, proxy, "sidecar-inbound"),
  };
  const ports = inboundPorts(snapshot, proxy);
  const bound = ports.filter(({ bindsPort }) => bindsPort).map((port) => boundInbound(context, port));
  const captured = ports.filter(({ bindsPort }) => !bindsPort);
  return proxy.interceptionMode === "NONE" ? bound : [virtualInbound(context, captured), ...bound];
}

/** A listener of its own, for a port that a Sidecar resource does not want captured. */
function boundInbound(context: InboundContext, port: InboundPort): Listener {
  const chains = portChains(context, serviceChains(context, port));
  return create(ListenerSchema, {
    ...listenerDefaults(context.snapshot, context.telemetry),
    name: listenerName(port.bind, port.targetPort),
    address: socketAddress(port.bind, port.targetPort),
    trafficDirection: TrafficDirection.INBOUND,
    listenerFilters: inspectorsFor(chains),
    filterChains: chains,
    metadata: resourceMetadata({ origins: port.origins }),
  });
}

function virtualInbound(context: InboundContext, ports: readonly InboundPort[]): Listener {
  const { snapshot, proxy, telemetry } = context;
  const listenPort = snapshot.meshConfig.proxyInboundListenPort;
  const served = new Set(ports.map(({ targetPort }) => targetPort));
  // A policy may name a port that no service does; it holds there as well.
  const unserved = [...snapshot.inboundMtlsPorts(proxy)]
    .filter(([port]) => !served.has(port))
    .sort(([a], [b]) => a - b);
  const chains = [
    clusterChain({ ...ownPort(listenPort), name: chainNames.inboundBlackhole }, telemetry),
    ...portChains(context, passthroughChains(snapshot.inboundMtlsMode(proxy), undefined)),
    ...unserved.flatMap(([port, decision]) => portChains(context, passthroughChains(decision, port))),
    ...ports.flatMap((port) => portChains(context, serviceChains(context, port))),
  ];
  return create(ListenerSchema, {
    ...listenerDefaults(snapshot, telemetry),
    name: virtualInboundListener,
    address: socketAddress(wildcard(proxy), listenPort),
    trafficDirection: TrafficDirection.INBOUND,
    ...(proxy.interceptionMode === "TPROXY" && { transparent: true }),
    listenerFilters: [originalDestination(), ...inspectorsFor(chains)],
    filterChains: chains,
    ...(telemetry.origins.length > 0 && { metadata: resourceMetadata({ origins: telemetry.origins }) }),
  });
}

interface InboundContext {
  readonly snapshot: MeshSnapshot;
  readonly proxy: ProxyNode;
  readonly authorization: WorkloadAuthorization;
  readonly telemetry: ListenerTelemetry;
}

interface ChainGroup {
  readonly port: number | undefined;
  readonly declared: ListenerProtocol;
  readonly decision: MtlsDecision;
  /** TLS of the user's own, which the chains end in place of mutual TLS. */
  readonly userTls: ServerTlsSettings | undefined;
  readonly cluster: string;
  readonly names: { readonly http: string; readonly tcp: string };
  readonly statPrefix: string;
  readonly servicePort: number;
  readonly operation: string;
  readonly grpc: boolean;
  readonly grpcWeb: boolean;
  readonly origins: readonly Origin[];
}

function serviceChains({ snapshot, proxy }: InboundContext, port: InboundPort): ChainGroup {
  const name = listenerName(port.bind, port.targetPort);
  const decision = snapshot.inboundMtlsMode(proxy, port.targetPort);
  return {
    port: port.targetPort,
    declared: listenerProtocol(port.protocol),
    decision,
    // Beside mutual TLS nobody could tell the two apart.
    userTls: decision.mode === "DISABLE" ? port.tls : undefined,
    cluster: inboundClusterName(port.targetPort),
    names: { http: name, tcp: name },
    statPrefix: `inbound_${name}`,
    servicePort: port.servicePort,
    operation: `${port.hostname}:${port.servicePort}/*`,
    grpc: isGrpc(port.protocol),
    grpcWeb: port.protocol === "GRPC-Web",
    origins: port.origins,
  };
}

/** Chains for a port that no service names, or for all of them. */
function passthroughChains(decision: MtlsDecision, port: number | undefined): ChainGroup {
  return {
    port,
    declared: "auto",
    decision,
    userTls: undefined,
    cluster: inboundPassthroughCluster,
    names: { http: chainNames.inboundPassthroughHttp, tcp: chainNames.inboundPassthroughTcp },
    statPrefix: inboundPassthroughCluster,
    servicePort: 0,
    operation: ":0/*",
    grpc: false,
    grpcWeb: false,
    origins: [],
  };
}

function portChains(context: InboundContext, group: ChainGroup): FilterChain[] {
  const { snapshot, authorization } = context;
  const extensions = listenerExtensions(snapshot, context.proxy, "sidecar-inbound", group.port ?? 0);
  const filters = {
    http: [...beforeHttp(extensions), httpFilters(context, group, extensions)],
    tcp: tcpFilters(context, group, extensions),
  };
  const origins = group.decision.policy === undefined ? [] : [group.decision.policy.origin];
  const choices =
    group.userTls === undefined
      ? inboundChainChoices(group.declared, group.decision.mode)
      : userTlsChainChoices(group.declared);
  return choices.map((choice) =>
    filterChain({
      name: group.names[choice.protocol],
      match: { ...choice.match, ...(group.port !== undefined && { destinationPort: group.port }) },
      filters: filters[choice.protocol],
      tls: choice.terminatesTls ? endedTls(snapshot, group.userTls, choice.protocol) : undefined,
      origins: [...origins, ...group.origins],
      policies: choice.protocol === "http" ? authorization.origins : authorization.tcpOrigins,
    }),
  );
}

function endedTls(
  snapshot: MeshSnapshot,
  userTls: ServerTlsSettings | undefined,
  protocol: "http" | "tcp",
): TransportSocket {
  if (userTls !== undefined) return serverTls(userTls, protocol, snapshot.meshConfig);
  const { minProtocolVersion, cipherSuites } = snapshot.meshConfig.meshMTLS;
  return inboundMutualTls(protocol, {
    trustDomains: trustDomains(snapshot),
    minVersion: minProtocolVersion === "TLSV1_3" ? "TLSV1_3" : "TLSV1_2",
    cipherSuites,
  });
}

function httpFilters(
  { snapshot, authorization, telemetry }: InboundContext,
  group: ChainGroup,
  extensions: ListenerExtensions,
): Filter {
  return httpConnectionManager({
    class: "sidecar-inbound",
    statPrefix: group.statPrefix,
    routes: inboundRoutes(group),
    httpFilters: httpFilterChain({
      class: "sidecar-inbound",
      grpcWeb: group.grpcWeb,
      authorization: httpWithExtensions(extensions, authorization),
      stats: telemetry.httpStats,
    }),
    accessLogs: telemetry.logs,
    tracing: telemetry.tracing,
    trustedHops: 0,
    pathNormalization: pathNormalization(snapshot),
  });
}

function tcpFilters(
  { authorization, telemetry }: InboundContext,
  group: ChainGroup,
  extensions: ListenerExtensions,
): Filter[] {
  return [
    metadataExchange,
    ...tcpWithExtensions(extensions, authorization),
    ...telemetry.tcpStats,
    tcpProxy({
      statPrefix: group.cluster,
      destinations: [{ cluster: group.cluster, weight: 1 }],
      accessLogs: telemetry.logs,
    }),
  ];
}
