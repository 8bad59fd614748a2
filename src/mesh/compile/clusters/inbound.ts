// Inbound clusters: one per port of the workload. The sidecar connects to the application from 127.0.0.6, so that
// capture rules can tell its connections from the application's.
import { create } from "@bufbuild/protobuf";
import {
  type Cluster,
  Cluster_DiscoveryType,
  Cluster_LbPolicy,
  ClusterSchema,
} from "#wire/gen/envoy/config/cluster/v3/cluster_pb.ts";
import type { Address } from "#wire/gen/envoy/config/core/v3/address_pb.ts";
import type { ProxyNode } from "../../snapshot/proxy-node.ts";
import { servicePort } from "../../snapshot/service.ts";
import type { MeshSnapshot } from "../../snapshot/snapshot.ts";
import { endpointAddress, isUnixSocket, milliseconds, socketAddress } from "../envoy-values.ts";
import type { InboundPort } from "../listeners/inbound-ports.ts";
import { resourceMetadata, servicesOf } from "../metadata.ts";
import { inboundClusterName } from "../names.ts";
import { isHttp2, listenerProtocol } from "../protocol.ts";
import { addressFamily, localhost } from "../proxy-addresses.ts";
import { type ClusterInit, circuitBreakers, httpProtocolOptions, keepalive } from "./cluster-blocks.ts";
import { clusterStatName } from "./stat-name.ts";

export function inboundCluster(snapshot: MeshSnapshot, proxy: ProxyNode, port: InboundPort): Cluster {
  const { meshConfig } = snapshot;
  const name = inboundClusterName(port.targetPort);
  const pool = port.connectionPool;
  const services = port.service === undefined ? [] : servicesOf(port.service);
  return create(ClusterSchema, {
    name,
    altStatName: clusterStatName(meshConfig.inboundClusterStatName, {
      cluster: name,
      service: port.service,
      port: port.servicePort,
      portName: (port.service && servicePort(port.service, port.servicePort)?.name) ?? "",
      targetPort: port.targetPort,
      subset: "",
    }),
    connectTimeout: milliseconds(pool?.tcp?.connectTimeout ?? meshConfig.connectTimeout),
    circuitBreakers: circuitBreakers(pool),
    ...keepalive(pool?.tcp?.tcpKeepalive, meshConfig.tcpKeepalive),
    ...destination(snapshot, proxy, port, name),
    typedExtensionProtocolOptions: httpProtocolOptions({
      protocol: isHttp2(port.protocol) ? "http2" : listenerProtocol(port.protocol) === "auto" ? "downstream" : "http1",
      pool,
      autoSni: false,
      autoSanValidation: false,
    }),
    metadata: resourceMetadata({ istio: { services }, origins: port.origins }),
  });
}

function destination(snapshot: MeshSnapshot, proxy: ProxyNode, port: InboundPort, name: string): ClusterInit {
  const address = applicationAddress(snapshot, proxy, port);
  if (address !== undefined) {
    return {
      clusterDiscoveryType: { case: "type", value: Cluster_DiscoveryType.STATIC },
      loadAssignment: {
        clusterName: name,
        endpoints: [{ lbEndpoints: [{ hostIdentifier: { case: "endpoint", value: { address } } }] }],
      },
    };
  }
  return {
    clusterDiscoveryType: { case: "type", value: Cluster_DiscoveryType.ORIGINAL_DST },
    lbPolicy: Cluster_LbPolicy.CLUSTER_PROVIDED,
    cleanupInterval: milliseconds(60_000),
    upstreamBindConfig: inboundBind(proxy),
  };
}

/** Undefined keeps the address that the client dialled. */
function applicationAddress(snapshot: MeshSnapshot, proxy: ProxyNode, port: InboundPort): Address | undefined {
  const endpoint = port.defaultEndpoint;
  if (isUnixSocket(endpoint)) return endpointAddress(endpoint, 0);
  if (endpoint !== "") {
    const colon = endpoint.lastIndexOf(":");
    const host = endpoint.slice(0, colon).replace(/^\[|\]$/g, "");
    const isAnyAddress = host === "0.0.0.0" || host === "::";
    return socketAddress(isAnyAddress ? (proxy.ipAddresses[0] ?? host) : host, Number(endpoint.slice(colon + 1)));
  }
  if (snapshot.meshConfig.inboundTrafficPolicy.mode === "PASSTHROUGH") return undefined;
  return socketAddress(localhost(proxy), port.targetPort);
}

/** The source address of connections to the application. */
export function inboundBind(proxy: ProxyNode): NonNullable<ClusterInit["upstreamBindConfig"]> {
  const address = addressFamily(proxy) === "ipv6" ? "::6" : "127.0.0.6";
  return { sourceAddress: { address, portSpecifier: { case: "portValue", value: 0 } } };
}
