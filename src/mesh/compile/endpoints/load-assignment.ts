// Endpoints of a cluster, grouped by locality, as one client prefers them.
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
import { type Endpoint, type Locality, noLocality } from "../../snapshot/endpoint.ts";
import type { Service, ServicePort } from "../../snapshot/service.ts";
import type { MergedSubset, MeshSnapshot } from "../../snapshot/snapshot.ts";
import { endpointAddress, isIpAddress, isUnixSocket } from "../envoy-values.ts";
import { outboundClusterName } from "../names.ts";
import { type LocalityClient, type LocalityGroup, type LocalityPlan, preferLocalities } from "./locality.ts";
import { type NetworkView, reachableGroups } from "./networks.ts";

export interface AssignmentTarget {
  /** Under which name the endpoints are sent; undefined: the outbound cluster's. */
  readonly clusterName?: string;
  /** Endpoints that do not take mutual TLS are left out. */
  readonly needsMutualTls?: boolean;
  readonly service: Service;
  readonly port: ServicePort;
  readonly subset: MergedSubset | undefined;
  /** Whether endpoints that are not ready are sent along, for the proxy to know that they are there. */
  readonly sendsUnhealthy: boolean;
  /** The only node whose endpoints are used. */
  readonly node: string | undefined;
  /** Without a plan, or without a client to apply it for, all localities are used alike. */
  readonly plan: LocalityPlan | undefined;
  readonly client: LocalityClient | undefined;
  /** Undefined: every network is reached directly. */
  readonly view: NetworkView | undefined;
}

export function loadAssignment(snapshot: MeshSnapshot, target: AssignmentTarget): ClusterLoadAssignment {
  const { service, port, subset, sendsUnhealthy, node, plan, client, view, needsMutualTls = false } = target;
  const endpoints = snapshot
    .endpoints(service, port.number, subset?.labels)
    .filter(({ health }) => sendsUnhealthy || health !== "unhealthy")
    .filter(({ workload }) => node === undefined || workload.nodeName === node)
    .filter(({ workload }) => !needsMutualTls || workload.tlsMode === "istio");
  const reachable =
    view === undefined
      ? byLocality(endpoints.filter(({ address }) => address !== ""))
      : reachableGroups(byLocality(endpoints), snapshot.networks, view, snapshot.clusterId);
  const groups = resolvesNames.has(service.resolution) ? reachable : withoutNames(reachable);
  const preferred = plan === undefined || client === undefined ? groups : preferLocalities(groups, plan, client);
  return create(ClusterLoadAssignmentSchema, {
    clusterName: target.clusterName ?? outboundClusterName(port.number, subset?.name ?? "", service.hostname),
    endpoints: preferred.map(localityEndpoints),
  });
}

const resolvesNames: ReadonlySet<Service["resolution"]> = new Set(["dns-lb", "dns-round-robin-lb"]);

/** Envoy takes no endpoints at all where one that is sent to it has a name for its address. */
function withoutNames(groups: readonly LocalityGroup[]): readonly LocalityGroup[] {
  const isUsable = ({ address }: Endpoint): boolean => isIpAddress(address) || isUnixSocket(address);
  if (groups.every(({ endpoints }) => endpoints.every(isUsable))) return groups;
  return groups.flatMap((group) => {
    const endpoints = group.endpoints.filter(isUsable);
    if (endpoints.length === 0) return [];
    return [{ ...group, endpoints, weight: endpoints.reduce((sum, { weight }) => sum + weight, 0) }];
  });
}

/** Endpoints as they are, grouped by locality. */
export function loadAssignmentOf(clusterName: string, endpoints: readonly Endpoint[]): ClusterLoadAssignment {
  const known = endpoints.filter(({ address }) => address !== "");
  return create(ClusterLoadAssignmentSchema, { clusterName, endpoints: byLocality(known).map(localityEndpoints) });
}

/** Those of them that take mutual TLS. */
export function withMutualTls(assignment: ClusterLoadAssignment): ClusterLoadAssignment {
  const endpoints = assignment.endpoints.flatMap((group) => {
    const lbEndpoints = group.lbEndpoints.filter(
      ({ metadata }) => metadata?.filterMetadata["envoy.transport_socket_match"]?.["tlsMode"] === "istio",
    );
    const weight = lbEndpoints.reduce((sum, { loadBalancingWeight = 1 }) => sum + loadBalancingWeight, 0);
    return lbEndpoints.length === 0 ? [] : [{ ...group, lbEndpoints, loadBalancingWeight: weight }];
  });
  return create(ClusterLoadAssignmentSchema, { ...assignment, endpoints });
}

function byLocality(endpoints: readonly Endpoint[]): LocalityGroup[] {
  const groups = Map.groupBy(endpoints, ({ workload: { locality } }) => localityName(locality));
  return [...groups.keys()].sort().map((name) => {
    const group = groups.get(name) ?? [];
    return {
      locality: group[0]?.workload.locality ?? noLocality,
      endpoints: group,
      weight: group.reduce((sum, endpoint) => sum + endpoint.weight, 0),
      priority: 0,
    };
  });
}

function localityName({ region, zone, subzone }: Locality): string {
  return `${region}/${zone}/${subzone}`;
}

function localityEndpoints({ locality, endpoints, weight, priority }: LocalityGroup): LocalityLbEndpoints {
  const { region, zone, subzone } = locality;
  return create(LocalityLbEndpointsSchema, {
    locality: { region, zone, subZone: subzone },
    lbEndpoints: endpoints.map(lbEndpoint),
    loadBalancingWeight: weight,
    priority,
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
