// Endpoints of a cluster, grouped by locality. The same for every proxy of the mesh.
import { create, type JsonObject } from "@bufbuild/protobuf";
import { HealthStatus } from "#wire/gen/envoy/config/core/v3/health_check_pb.ts";
import {
  type LbEndpoint,
  LbEndpointSchema,
  type LocalityLbEndpoints,
  LocalityLbEndpointsSchema,
} from "#wire/gen/envoy/config/endpoint/v3/endpoint_components_pb.ts";
import {
  type ClusterLoadAssignment,
  ClusterLoadAssignmentSchema,
} from "#wire/gen/envoy/config/endpoint/v3/endpoint_pb.ts";
import type { Endpoint } from "../../snapshot/endpoint.ts";
import type { Service, ServicePort } from "../../snapshot/service.ts";
import type { MergedSubset, MeshSnapshot } from "../../snapshot/snapshot.ts";
import { endpointAddress } from "../envoy-values.ts";
import { outboundClusterName } from "../names.ts";

export interface AssignmentTarget {
  readonly service: Service;
  readonly port: ServicePort;
  readonly subset: MergedSubset | undefined;
}

export function loadAssignment(snapshot: MeshSnapshot, target: AssignmentTarget): ClusterLoadAssignment {
  const { service, port, subset } = target;
  return create(ClusterLoadAssignmentSchema, {
    clusterName: outboundClusterName(port.number, subset?.name ?? "", service.hostname),
    endpoints: byLocality(snapshot.endpoints(service, port.number, subset?.labels)),
  });
}

function byLocality(endpoints: readonly Endpoint[]): LocalityLbEndpoints[] {
  const groups = new Map<string, Endpoint[]>();
  for (const endpoint of endpoints) {
    const { region, zone, subzone } = endpoint.workload.locality;
    const key = `${region}/${zone}/${subzone}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [endpoint]);
    else group.push(endpoint);
  }
  return [...groups.keys()].sort().map((key) => {
    const group = groups.get(key) ?? [];
    const { region = "", zone = "", subzone = "" } = group[0]?.workload.locality ?? {};
    return create(LocalityLbEndpointsSchema, {
      locality: { region, zone, subZone: subzone },
      lbEndpoints: group.map(lbEndpoint),
      loadBalancingWeight: group.reduce((sum, endpoint) => sum + endpoint.weight, 0),
    });
  });
}

function lbEndpoint(endpoint: Endpoint): LbEndpoint {
  return create(LbEndpointSchema, {
    hostIdentifier: { case: "endpoint", value: { address: endpointAddress(endpoint.address, endpoint.port) } },
    healthStatus: healthStatus[endpoint.health],
    loadBalancingWeight: endpoint.weight,
    metadata: { filterMetadata: endpointMetadata(endpoint) },
  });
}

const healthStatus = {
  healthy: HealthStatus.HEALTHY,
  unhealthy: HealthStatus.UNHEALTHY,
  draining: HealthStatus.DRAINING,
} as const;

function endpointMetadata({ workload }: Endpoint): Record<string, JsonObject> {
  const { name, namespace, canonicalName, canonicalRevision, clusterId } = workload;
  const revision = canonicalRevision === "latest" ? "" : canonicalRevision;
  return {
    istio: { workload: [name, namespace, canonicalName, revision, clusterId].join(";") },
    ...(workload.tlsMode === "istio" && { "envoy.transport_socket_match": { tlsMode: "istio" } }),
  };
}
