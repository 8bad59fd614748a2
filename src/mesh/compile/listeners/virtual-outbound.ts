// `virtualOutbound`: where captured outbound connections arrive. It hands each to the listener of its original
// destination, and takes those that no listener is for.
import { create } from "@bufbuild/protobuf";
import { TrafficDirection } from "#wire/gen/envoy/config/core/v3/base_pb.ts";
import type { FilterChain } from "#wire/gen/envoy/config/listener/v3/listener_components_pb.ts";
import { type Listener, ListenerSchema } from "#wire/gen/envoy/config/listener/v3/listener_pb.ts";
import { RouteConfigurationSchema } from "#wire/gen/envoy/config/route/v3/route_pb.ts";
import type { ProxyNode } from "../../snapshot/proxy-node.ts";
import type { MeshSnapshot } from "../../snapshot/snapshot.ts";
import { socketAddress } from "../envoy-values.ts";
import { listenerExtensions, tcpWithExtensions } from "../filters/extensions.ts";
import { type ListenerTelemetry, listenerTelemetry } from "../filters/telemetry.ts";
import { resourceMetadata } from "../metadata.ts";
import { chainNames, virtualOutboundListener } from "../names.ts";
import { outboundPolicyOrigins, resolvesUnknownHosts, unknownTraffic } from "../policy/unknown-traffic.ts";
import { wildcard } from "../proxy-addresses.ts";
import { catchAll } from "../routes/outbound.ts";
import { clusterChain, filterChain, inspectors, listenerDefaults, ownPort, plaintextHttp } from "./chain.ts";
import { outboundHttp } from "./outbound-http.ts";

export function virtualOutbound(snapshot: MeshSnapshot, proxy: ProxyNode): Listener {
  const scope = snapshot.scope(proxy);
  const port = snapshot.meshConfig.proxyListenPort;
  const telemetry = listenerTelemetry(snapshot, proxy, "sidecar-outbound");
  const origins = [...outboundPolicyOrigins(scope), ...telemetry.origins];
  const before = tcpWithExtensions(listenerExtensions(snapshot, proxy, "sidecar-outbound", 0), undefined);
  const chains = [
    clusterChain({ ...ownPort(port), name: chainNames.outboundBlackhole }, telemetry),
    ...(resolvesUnknownHosts(scope) ? [requestsChain(snapshot, proxy, telemetry)] : []),
    clusterChain({ ...unknownTraffic(scope), name: chainNames.outboundCatchAll, before }, telemetry),
  ];
  return create(ListenerSchema, {
    ...listenerDefaults(snapshot, telemetry),
    name: virtualOutboundListener,
    address: socketAddress(wildcard(proxy), port),
    trafficDirection: TrafficDirection.OUTBOUND,
    useOriginalDst: true,
    ...(proxy.interceptionMode === "TPROXY" && { transparent: true }),
    filterChains: chains,
    listenerFilters: inspectors(chains),
    ...(origins.length > 0 && { metadata: resourceMetadata({ origins }) }),
  });
}

/** HTTP on ports of no listener: its host is resolved, whatever address was dialled. */
function requestsChain(snapshot: MeshSnapshot, proxy: ProxyNode, telemetry: ListenerTelemetry): FilterChain {
  const name = chainNames.outboundCatchAllHttp;
  const routes = create(RouteConfigurationSchema, {
    name,
    virtualHosts: [catchAll(snapshot.scope(proxy))],
    validateClusters: false,
    ignorePortInHostMatching: true,
  });
  const http = outboundHttp(snapshot, {
    listener: virtualOutboundListener,
    routeName: name,
    routes,
    port: 0,
    grpcWeb: false,
    telemetry,
    proxy,
  });
  return filterChain({ name, match: plaintextHttp, filters: [http] });
}
