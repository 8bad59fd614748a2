// The tracer that a proxy has of its own, for listeners whose tracing names none: of a bootstrap file, or the Zipkin of
// Istio's ProxyConfig (`tracing.zipkin.address`), for which Istio's agent would write a cluster into the bootstrap.
import { create, type JsonObject } from "@bufbuild/protobuf";
import {
  Cluster_DiscoveryType,
  Cluster_DnsLookupFamily,
  ClusterSchema,
} from "#wire/gen/envoy/config/cluster/v3/cluster_pb.ts";
import type { ClusterConfig } from "../config/cluster.ts";
import { decodeCluster } from "../config/decode-cluster.ts";
import type { TracerConfig } from "../config/tracing.ts";

export interface OwnTracer {
  readonly tracer: TracerConfig;
  /** Where it sends to, when no configuration has that cluster. */
  readonly cluster: ClusterConfig | null;
}

const name = "zipkin";

/** Null where the node's metadata names no Zipkin, or none that is an address with a port. */
export function zipkinOfNode(metadata: JsonObject): OwnTracer | null {
  const address = field(field(field(metadata["PROXY_CONFIG"], "tracing"), "zipkin"), "address");
  const [, host, port] = typeof address === "string" ? (/^\[?([^\s[\]]+?)\]?:(\d{1,5})$/.exec(address) ?? []) : [];
  if (host === undefined || port === undefined) return null;
  const socketAddress = {
    case: "socketAddress" as const,
    value: { address: host, portSpecifier: { case: "portValue" as const, value: Number(port) } },
  };
  const cluster = create(ClusterSchema, {
    name,
    clusterDiscoveryType: { case: "type", value: Cluster_DiscoveryType.STRICT_DNS },
    respectDnsTtl: true,
    dnsLookupFamily: Cluster_DnsLookupFamily.V4_PREFERRED,
    connectTimeout: { seconds: 1n },
    loadAssignment: {
      clusterName: name,
      endpoints: [
        { lbEndpoints: [{ hostIdentifier: { case: "endpoint", value: { address: { address: socketAddress } } } }] },
      ],
    },
  });
  return {
    tracer: {
      type: "zipkin",
      service: { protocol: "http", cluster: name, host: name, path: "/api/v2/spans", timeoutMs: 5000, headers: [] },
      has128BitIds: true,
      sharesSpans: false,
      speaksW3c: false,
    },
    cluster: decodeCluster(cluster).value,
  };
}

function field(value: unknown, key: string): unknown {
  return typeof value === "object" && value !== null && Object.hasOwn(value, key)
    ? (value as Readonly<Record<string, unknown>>)[key]
    : undefined;
}
