// `virtualOutbound`: where captured outbound connections arrive. It hands each to the listener of its original
// destination, and takes those that no listener is for.
import { create } from "@bufbuild/protobuf";
import { TrafficDirection } from "#wire/gen/envoy/config/core/v3/base_pb.ts";
import { type Listener, ListenerSchema } from "#wire/gen/envoy/config/listener/v3/listener_pb.ts";
import type { ProxyNode } from "../../snapshot/proxy-node.ts";
import type { MeshSnapshot } from "../../snapshot/snapshot.ts";
import { socketAddress } from "../envoy-values.ts";
import { listenerTelemetry } from "../filters/telemetry.ts";
import { resourceMetadata } from "../metadata.ts";
import { blackHoleCluster, chainNames, virtualOutboundListener } from "../names.ts";
import { unknownTrafficCluster } from "../policy/unknown-traffic.ts";
import { wildcard } from "../proxy-addresses.ts";
import { clusterChain, listenerDefaults } from "./chain.ts";

export function virtualOutbound(snapshot: MeshSnapshot, proxy: ProxyNode): Listener {
  const scope = snapshot.scope(proxy);
  const port = snapshot.meshConfig.proxyListenPort;
  const telemetry = listenerTelemetry(snapshot, proxy, "sidecar-outbound");
  const { sidecar } = scope;
  const origins = [
    ...(sidecar?.spec.outboundTrafficPolicy === undefined ? [] : [sidecar.origin]),
    ...telemetry.origins,
  ];
  return create(ListenerSchema, {
    ...listenerDefaults(snapshot, telemetry),
    name: virtualOutboundListener,
    address: socketAddress(wildcard(proxy), port),
    trafficDirection: TrafficDirection.OUTBOUND,
    useOriginalDst: true,
    ...(proxy.interceptionMode === "TPROXY" && { transparent: true }),
    filterChains: [
      // A connection to the port itself would be handed back to this listener for ever.
      clusterChain(chainNames.outboundBlackhole, blackHoleCluster, telemetry, { destinationPort: port }),
      clusterChain(chainNames.outboundCatchAll, unknownTrafficCluster(scope), telemetry),
    ],
    ...(origins.length > 0 && { metadata: resourceMetadata({ origins }) }),
  });
}
