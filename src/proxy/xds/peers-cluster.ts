// The cluster of a sidecar's own peers, which Istio's agent would write into the bootstrap: its endpoints come over EDS.
import { create } from "@bufbuild/protobuf";
import { Cluster_DiscoveryType, ClusterSchema } from "#wire/gen/envoy/config/cluster/v3/cluster_pb.ts";
import type { ClusterConfig } from "../config/cluster.ts";
import { decodeCluster } from "../config/decode-cluster.ts";

export function peersCluster(name: string): ClusterConfig {
  const cluster = create(ClusterSchema, {
    name,
    clusterDiscoveryType: { case: "type", value: Cluster_DiscoveryType.EDS },
    connectTimeout: { seconds: 1n },
    edsClusterConfig: { edsConfig: { configSourceSpecifier: { case: "ads", value: {} } } },
  });
  const { value } = decodeCluster(cluster);
  if (value === null) throw new TypeError("the cluster of a proxy's peers does not decode");
  return value;
}
