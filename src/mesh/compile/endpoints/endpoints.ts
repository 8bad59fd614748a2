// Load assignments for the clusters whose endpoints are sent to the proxy (EDS).
import { create } from "@bufbuild/protobuf";
import {
  type ClusterLoadAssignment,
  ClusterLoadAssignmentSchema,
} from "#wire/gen/envoy/config/endpoint/v3/endpoint_pb.ts";
import { servicePort } from "../../snapshot/service.ts";
import type { MeshSnapshot } from "../../snapshot/snapshot.ts";
import type { OutboundScope } from "../clusters/outbound.ts";
import { parseOutboundClusterName } from "../names.ts";
import type { DestinationScope } from "../routes/destination.ts";
import { once } from "../shared-work.ts";
import { loadAssignment } from "./load-assignment.ts";

/** Compiles the endpoints of one cluster; a cluster that the proxy does not know has none. */
export function clusterEndpoints(
  snapshot: MeshSnapshot,
  scope: OutboundScope & DestinationScope,
  clusterName: string,
): ClusterLoadAssignment {
  const key = parseOutboundClusterName(clusterName);
  const service = key && scope.service(key.host);
  const port = service && servicePort(service, key.port);
  if (key === undefined || service === undefined || port === undefined) return empty(clusterName);
  if (key.subset === "") {
    return once(snapshot, `endpoints ${service.namespace} ${clusterName}`, () =>
      loadAssignment(snapshot, { service, port, subset: undefined }),
    );
  }
  const subset = scope.destinationRule(service)?.subsets.find(({ name }) => name === key.subset);
  if (subset === undefined) return empty(clusterName);
  const labels = JSON.stringify(Object.entries(subset.labels).sort());
  return once(snapshot, `endpoints ${service.namespace} ${clusterName} ${labels}`, () =>
    loadAssignment(snapshot, { service, port, subset }),
  );
}

function empty(clusterName: string): ClusterLoadAssignment {
  return create(ClusterLoadAssignmentSchema, { clusterName });
}
