// Clusters that are always there: where unknown traffic goes, and where it ends.
import { create } from "@bufbuild/protobuf";
import {
  type Cluster,
  Cluster_DiscoveryType,
  Cluster_LbPolicy,
  ClusterSchema,
} from "#wire/gen/envoy/config/cluster/v3/cluster_pb.ts";
import type { ProxyNode } from "../../snapshot/proxy-node.ts";
import type { MeshSnapshot } from "../../snapshot/snapshot.ts";
import { milliseconds } from "../envoy-values.ts";
import { forwardProxyType } from "../filters/forward-proxy.ts";
import { resourceMetadata } from "../metadata.ts";
import {
  allowAnyDynamicDnsCluster,
  blackHoleCluster as blackHole,
  inboundPassthroughCluster,
  passthroughCluster,
  statDelimiter,
} from "../names.ts";
import { istioMutualTls, originatedTls } from "../tls/upstream.ts";
import { type ClusterInit, circuitBreakers, httpProtocolOptions } from "./cluster-blocks.ts";
import { inboundBind } from "./inbound.ts";

/** Takes connections nowhere: it has no endpoints. */
export function blackHoleCluster(snapshot: MeshSnapshot): Cluster {
  return create(ClusterSchema, {
    name: blackHole,
    altStatName: `${blackHole}${statDelimiter}`,
    clusterDiscoveryType: { case: "type", value: Cluster_DiscoveryType.STATIC },
    connectTimeout: milliseconds(snapshot.meshConfig.connectTimeout),
    lbPolicy: Cluster_LbPolicy.ROUND_ROBIN,
  });
}

/** Keeps the address that the application dialled, for traffic to destinations that the mesh does not know. */
export function outboundPassthroughCluster(snapshot: MeshSnapshot): Cluster {
  return passthrough(snapshot, passthroughCluster);
}

/** The same towards the workload, for ports that no service names. */
export function inboundPassthrough(snapshot: MeshSnapshot, proxy: ProxyNode): Cluster {
  return passthrough(snapshot, inboundPassthroughCluster, { upstreamBindConfig: inboundBind(proxy) });
}

/** Resolves the hosts of requests that the mesh does not know, and begins TLS to them where the mesh says so. */
export function allowAnyDynamicDns(snapshot: MeshSnapshot, proxy: ProxyNode): Cluster {
  const { connectTimeout, outboundTrafficPolicy, ...meshConfig } = snapshot.meshConfig;
  const { tls } = outboundTrafficPolicy;
  const isOriginated = tls?.mode === "SIMPLE" || tls?.mode === "MUTUAL";
  const autoSni = isOriginated && tls.sni === "";
  const autoSanValidation = isOriginated && tls.insecureSkipVerify !== true;
  const name = allowAnyDynamicDnsCluster;
  return create(ClusterSchema, {
    name,
    altStatName: `${name}${statDelimiter}`,
    ...forwardProxyType(snapshot, proxy, name, isOriginated && !(autoSni && autoSanValidation)),
    connectTimeout: milliseconds(connectTimeout),
    circuitBreakers: circuitBreakers(undefined),
    typedExtensionProtocolOptions: httpProtocolOptions({
      protocol: "downstream",
      pool: undefined,
      autoSni,
      autoSanValidation,
    }),
    ...(isOriginated && {
      transportSocket: originatedTls(
        {
          ...tls,
          mutual: tls.mode === "MUTUAL",
          insecureSkipVerify: tls.insecureSkipVerify ?? false,
          http2: false,
        },
        meshConfig,
      ),
    }),
    ...(tls?.mode === "ISTIO_MUTUAL" && {
      transportSocket: istioMutualTls({ sni: tls.sni || name, subjectAltNames: tls.subjectAltNames, http2: false }),
    }),
    metadata: resourceMetadata({ istio: isOriginated ? { alpn_override: "false" } : {}, origins: [] }),
  });
}

function passthrough(snapshot: MeshSnapshot, name: string, more: ClusterInit = {}): Cluster {
  return create(ClusterSchema, {
    ...more,
    name,
    altStatName: `${name}${statDelimiter}`,
    clusterDiscoveryType: { case: "type", value: Cluster_DiscoveryType.ORIGINAL_DST },
    connectTimeout: milliseconds(snapshot.meshConfig.connectTimeout),
    lbPolicy: Cluster_LbPolicy.CLUSTER_PROVIDED,
    circuitBreakers: circuitBreakers(undefined),
    typedExtensionProtocolOptions: httpProtocolOptions({
      protocol: "downstream",
      pool: { tcp: { maxConnections: 0, idleTimeout: 300_000 } },
      autoSni: false,
      autoSanValidation: false,
    }),
  });
}
