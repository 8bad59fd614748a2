// `virtualInbound`: where captured connections to the workload arrive. Filter chains per port and mutual TLS mode,
// and passthrough chains for ports that no service names.
import { create } from "@bufbuild/protobuf";
import type { Origin } from "#base/issue.ts";
import { TrafficDirection } from "#wire/gen/envoy/config/core/v3/base_pb.ts";
import type { Filter, FilterChain } from "#wire/gen/envoy/config/listener/v3/listener_components_pb.ts";
import { type Listener, ListenerSchema } from "#wire/gen/envoy/config/listener/v3/listener_pb.ts";
import type { ProxyNode } from "../../snapshot/proxy-node.ts";
import type { MeshSnapshot, MtlsDecision } from "../../snapshot/snapshot.ts";
import { socketAddress } from "../envoy-values.ts";
import { httpConnectionManager } from "../filters/http-connection-manager.ts";
import { httpFilterChain } from "../filters/http-filters.ts";
import { inspectorsFor, originalDestination } from "../filters/listener-filters.ts";
import { metadataExchange, tcpProxy, tcpStats } from "../filters/network-filters.ts";
import type { Authorization } from "../filters/rbac/authorization.ts";
import { workloadAuthorization } from "../filters/rbac/workload-authorization.ts";
import {
  blackHoleCluster,
  chainNames,
  inboundChainName,
  inboundClusterName,
  inboundPassthroughCluster,
  virtualInboundListener,
} from "../names.ts";
import { isGrpc, type ListenerProtocol, listenerProtocol } from "../protocol.ts";
import { inboundRoutes } from "../routes/inbound.ts";
import { inboundMutualTls } from "../tls/downstream.ts";
import { clusterChain, filterChain, listenerDefaults, meshAccessLogs, trustDomains } from "./chain.ts";
import { inboundChainChoices } from "./inbound-matrix.ts";
import { type InboundPort, inboundPorts } from "./inbound-ports.ts";
import { wildcard } from "./outbound.ts";
import { pathNormalization } from "./outbound-http.ts";

export function virtualInbound(snapshot: MeshSnapshot, proxy: ProxyNode): Listener {
  const listenPort = snapshot.meshConfig.proxyInboundListenPort;
  const logs = meshAccessLogs(snapshot);
  const context: InboundContext = {
    snapshot,
    authorization: workloadAuthorization(snapshot, proxy, snapshot.scope(proxy)),
  };
  const ports = inboundPorts(snapshot, proxy);
  const served = new Set(ports.map(({ targetPort }) => targetPort));
  // A policy may name a port that no service does; it holds there as well.
  const unserved = [...snapshot.inboundMtlsPorts(proxy)]
    .filter(([port]) => !served.has(port))
    .sort(([a], [b]) => a - b);
  const chains = [
    clusterChain(chainNames.inboundBlackhole, blackHoleCluster, logs, { destinationPort: listenPort }),
    ...portChains(context, passthroughChains(snapshot.inboundMtlsMode(proxy), undefined)),
    ...unserved.flatMap(([port, decision]) => portChains(context, passthroughChains(decision, port))),
    ...ports.flatMap((port) =>
      portChains(context, serviceChains(port, snapshot.inboundMtlsMode(proxy, port.targetPort))),
    ),
  ];
  return create(ListenerSchema, {
    ...listenerDefaults(snapshot),
    name: virtualInboundListener,
    address: socketAddress(wildcard(proxy), listenPort),
    trafficDirection: TrafficDirection.INBOUND,
    ...(proxy.interceptionMode === "TPROXY" && { transparent: true }),
    listenerFilters: [originalDestination(), ...inspectorsFor(chains)],
    filterChains: chains,
  });
}

interface InboundContext {
  readonly snapshot: MeshSnapshot;
  readonly authorization: Authorization;
}

interface ChainGroup {
  readonly port: number | undefined;
  readonly declared: ListenerProtocol;
  readonly decision: MtlsDecision;
  readonly cluster: string;
  readonly names: { readonly http: string; readonly tcp: string };
  readonly statPrefix: string;
  readonly servicePort: number;
  readonly operation: string;
  readonly grpc: boolean;
  readonly grpcWeb: boolean;
  readonly origins: readonly Origin[];
}

function serviceChains(port: InboundPort, decision: MtlsDecision): ChainGroup {
  const name = inboundChainName(port.targetPort);
  return {
    port: port.targetPort,
    declared: listenerProtocol(port.protocol),
    decision,
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
  const { meshMTLS } = snapshot.meshConfig;
  const tls = {
    trustDomains: trustDomains(snapshot),
    minVersion: meshMTLS.minProtocolVersion === "TLSV1_3" ? ("TLSV1_3" as const) : ("TLSV1_2" as const),
    cipherSuites: meshMTLS.cipherSuites,
  };
  const filters = { http: [httpFilters(context, group)], tcp: tcpFilters(context, group) };
  const origins = group.decision.policy === undefined ? [] : [group.decision.policy.origin];
  return inboundChainChoices(group.declared, group.decision.mode).map((choice) =>
    filterChain({
      name: group.names[choice.protocol],
      match: { ...choice.match, ...(group.port !== undefined && { destinationPort: group.port }) },
      filters: filters[choice.protocol],
      tls: choice.terminatesTls ? inboundMutualTls(choice.protocol, tls) : undefined,
      origins: [...origins, ...group.origins],
      policies: authorization.origins,
    }),
  );
}

function httpFilters({ snapshot, authorization }: InboundContext, group: ChainGroup): Filter {
  return httpConnectionManager({
    class: "sidecar-inbound",
    statPrefix: group.statPrefix,
    routes: inboundRoutes(group),
    httpFilters: httpFilterChain({
      class: "sidecar-inbound",
      grpcWeb: group.grpcWeb,
      authorization: authorization.http,
    }),
    accessLogs: meshAccessLogs(snapshot),
    trustedHops: 0,
    pathNormalization: pathNormalization(snapshot),
  });
}

function tcpFilters({ snapshot, authorization }: InboundContext, group: ChainGroup): Filter[] {
  return [
    metadataExchange,
    ...authorization.tcp,
    tcpStats,
    tcpProxy({
      statPrefix: group.cluster,
      destinations: [{ cluster: group.cluster, weight: 1 }],
      accessLogs: meshAccessLogs(snapshot),
    }),
  ];
}
