// envoy.config.endpoint.v3.ClusterLoadAssignment to a flat list of endpoints with priority and locality.
import type { JsonObject } from "@bufbuild/protobuf";
import { HealthStatus } from "#wire/gen/envoy/config/core/v3/health_check_pb.ts";
import type { LbEndpoint, LocalityLbEndpoints } from "#wire/gen/envoy/config/endpoint/v3/endpoint_components_pb.ts";
import type { ClusterLoadAssignment } from "#wire/gen/envoy/config/endpoint/v3/endpoint_pb.ts";
import { formatAddress } from "../transport/connection-info.ts";
import type { EndpointConfig, EndpointSet } from "./cluster.ts";
import { socketAddress } from "./parse/values.ts";
import { type Decoded, Problems } from "./problems.ts";

/** Decodes an EDS resource. */
export function decodeEndpoints(assignment: ClusterLoadAssignment): Decoded<EndpointSet> {
  const problems = new Problems("endpoints", assignment.clusterName);
  if (assignment.clusterName === "") problems.invalid("cluster_name", "is missing");
  return problems.done(decodeAssignment(assignment, "", problems));
}

/** Decodes endpoints of their own or inline in a cluster; `path` ends with a dot or is empty. */
export function decodeAssignment(assignment: ClusterLoadAssignment, path: string, problems: Problems): EndpointSet {
  const byKey = new Map<string, EndpointConfig>();
  assignment.endpoints.forEach((group, i) => {
    const where = `${path}endpoints[${i}]`;
    if (group.lbConfig.case === "ledsClusterLocalityConfig")
      problems.unsupported(where, "endpoint discovery by locality");
    if (group.priority > 128) problems.invalid(`${where}.priority`, `${group.priority} is above 128`);
    const members =
      group.lbConfig.case === "loadBalancerEndpoints" ? group.lbConfig.value.lbEndpoints : group.lbEndpoints;
    members.forEach((member, k) => {
      const endpoint = decodeEndpoint(member, group, `${where}.lb_endpoints[${k}]`, problems);
      // The same address twice is one host; the first place wins, as in Envoy.
      if (endpoint !== null && !byKey.has(endpoint.key)) byKey.set(endpoint.key, endpoint);
    });
  });
  return { clusterName: assignment.clusterName, endpoints: [...byKey.values()] };
}

function decodeEndpoint(
  member: LbEndpoint,
  group: LocalityLbEndpoints,
  path: string,
  problems: Problems,
): EndpointConfig | null {
  if (member.hostIdentifier.case !== "endpoint") {
    problems.unsupported(path, "an endpoint by name");
    return null;
  }
  const { host, port } = socketAddress(member.hostIdentifier.value.address, `${path}.endpoint.address`, problems);
  const metadata = member.metadata?.filterMetadata;
  return {
    key: formatAddress(host, port),
    host,
    port,
    weight: Math.max(1, member.loadBalancingWeight ?? 1),
    priority: group.priority,
    locality: localityName(group),
    health: healthByStatus[member.healthStatus] ?? "healthy",
    transportMatch: strings(metadata?.["envoy.transport_socket_match"]),
    workload: text(metadata?.["istio"]?.["workload"]),
  };
}

function localityName(group: LocalityLbEndpoints): string {
  const { region = "", zone = "", subZone = "" } = group.locality ?? {};
  if (subZone !== "") return `${region}/${zone}/${subZone}`;
  return zone === "" ? region : `${region}/${zone}`;
}

const healthByStatus: Readonly<Record<number, EndpointConfig["health"]>> = {
  [HealthStatus.UNKNOWN]: "healthy",
  [HealthStatus.HEALTHY]: "healthy",
  [HealthStatus.UNHEALTHY]: "unhealthy",
  [HealthStatus.TIMEOUT]: "unhealthy",
  [HealthStatus.DRAINING]: "draining",
  [HealthStatus.DEGRADED]: "degraded",
};

// Most endpoints say the same: one object for all of them.
const mutualTls: Readonly<Record<string, string>> = { tlsMode: "istio" };
const nothing: Readonly<Record<string, string>> = {};

function strings(value: JsonObject | undefined): Readonly<Record<string, string>> {
  if (value === undefined) return nothing;
  const entries = Object.entries(value).map(([key, item]) => [key, text(item)]);
  if (entries.length === 0) return nothing;
  return entries.length === 1 && value["tlsMode"] === "istio" ? mutualTls : Object.fromEntries(entries);
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}
