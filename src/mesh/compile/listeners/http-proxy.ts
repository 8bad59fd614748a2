// The mesh's HTTP proxy (`proxyHttpPort`): for applications that name a proxy instead of being captured.
import { create } from "@bufbuild/protobuf";
import { TrafficDirection } from "#wire/gen/envoy/config/core/v3/base_pb.ts";
import { type Listener, ListenerSchema } from "#wire/gen/envoy/config/listener/v3/listener_pb.ts";
import type { ProxyNode } from "../../snapshot/proxy-node.ts";
import type { MeshSnapshot } from "../../snapshot/snapshot.ts";
import { socketAddress } from "../envoy-values.ts";
import { listenerTelemetry } from "../filters/telemetry.ts";
import { httpProxyRoutes, listenerName } from "../names.ts";
import { localhost } from "../proxy-addresses.ts";
import { filterChain, listenerDefaults } from "./chain.ts";
import { outboundHttp } from "./outbound-http.ts";

/** The proxy's own metadata decides, then the mesh's; 0 means none. */
export function httpProxyPort(snapshot: MeshSnapshot, proxy: ProxyNode): number {
  const own = Number(proxy.metadata["HTTP_PROXY_PORT"]);
  return Number.isInteger(own) && own > 0 ? own : snapshot.meshConfig.proxyHttpPort;
}

export function httpProxyListeners(snapshot: MeshSnapshot, proxy: ProxyNode): Listener[] {
  const port = httpProxyPort(snapshot, proxy);
  if (port === 0) return [];
  const bind = localhost(proxy);
  const name = listenerName(bind, port);
  const telemetry = listenerTelemetry(snapshot, proxy, "sidecar-outbound");
  const http = outboundHttp(snapshot, {
    listener: name,
    routeName: httpProxyRoutes,
    port,
    grpcWeb: false,
    telemetry,
    proxy,
  });
  const listener = create(ListenerSchema, {
    ...listenerDefaults(snapshot, telemetry),
    name,
    address: socketAddress(bind, port),
    trafficDirection: TrafficDirection.OUTBOUND,
    filterChains: [filterChain({ filters: [http] })],
  });
  return [listener];
}
