// The endpoints of a sidecar's own peers, against which it weighs zones: Istio's cluster `local_cluster` of sidecars with
// ISTIO_META_ENABLE_SELF_DISCOVERY.
import type { ClusterLoadAssignment } from "#wire/gen/envoy/config/endpoint/v3/endpoint_pb.ts";
import type { Endpoint } from "../../snapshot/endpoint.ts";
import type { ProxyNode } from "../../snapshot/proxy-node.ts";
import type { MeshSnapshot } from "../../snapshot/snapshot.ts";
import { loadAssignmentOf } from "./load-assignment.ts";

export const ownPeersCluster = "local_cluster";

export function discoversItself({ type, metadata }: ProxyNode): boolean {
  return type === "sidecar" && String(metadata["ENABLE_SELF_DISCOVERY"]) === "true";
}

/**
 * The endpoints of the first service that the proxy itself serves: those of its region, workload and revision of pods. None
 * where it serves no service. Rules of clients say nothing of them.
 */
export function ownPeers(snapshot: MeshSnapshot, proxy: ProxyNode): ClusterLoadAssignment {
  const [instance] = snapshot.serviceInstances(proxy);
  const { region } = snapshot.placeOf(proxy).locality;
  const isPeer = ({ workload }: Endpoint): boolean =>
    workload.locality.region === region &&
    workload.name === proxy.workloadName &&
    workload.labels[podTemplate] === proxy.labels[podTemplate];
  const endpoints =
    instance === undefined ? [] : snapshot.endpoints(instance.service, instance.port.number).filter(isPeer);
  return loadAssignmentOf(ownPeersCluster, endpoints);
}

const podTemplate = "pod-template-hash";
