// envoy.config.endpoint.v3.ClusterLoadAssignment to a flat list of endpoints with priority and locality.
import type { JsonObject } from "@bufbuild/protobuf";
import type { Address } from "#wire/gen/envoy/config/core/v3/address_pb.ts";
import type { Metadata } from "#wire/gen/envoy/config/core/v3/base_pb.ts";
import type {
  Endpoint_HealthCheckConfig,
  LbEndpoint,
} from "#wire/gen/envoy/config/endpoint/v3/endpoint_components_pb.ts";
import type {
  ClusterLoadAssignment,
  ClusterLoadAssignment_Policy,
  ClusterLoadAssignment_Policy_DropOverload,
} from "#wire/gen/envoy/config/endpoint/v3/endpoint_pb.ts";
import { formatAddress } from "../transport/connection-info.ts";
import {
  type AssignmentPolicy,
  defaultAssignmentPolicy,
  type EndpointConfig,
  type EndpointSet,
  type LocalityConfig,
} from "./cluster.ts";
import { endpointHealth } from "./decode-load-balancing.ts";
import { localityName } from "./local-node.ts";
import { milliseconds, socketAddress } from "./parse/values.ts";
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
  const localities: LocalityConfig[] = [];
  assignment.endpoints.forEach((group, i) => {
    const where = `${path}endpoints[${i}]`;
    if (group.lbConfig.case === "ledsClusterLocalityConfig")
      problems.unsupported(where, "endpoint discovery by locality");
    if (group.priority > 128) problems.invalid(`${where}.priority`, `${group.priority} is above 128`);
    const { priority } = group;
    const name = localityName(group.locality);
    if (group.loadBalancingWeight !== undefined) localities.push({ name, priority, weight: group.loadBalancingWeight });
    const members =
      group.lbConfig.case === "loadBalancerEndpoints" ? group.lbConfig.value.lbEndpoints : group.lbEndpoints;
    const shared = { priority, locality: name, transportMatch: strings(matchLabels(group.metadata)) };
    members.forEach((member, k) => {
      const endpoint = decodeEndpoint(member, shared, `${where}.lb_endpoints[${k}]`, problems);
      // The same address twice is one host; the first place wins, as in Envoy.
      if (endpoint !== null && !byKey.has(endpoint.key)) byKey.set(endpoint.key, endpoint);
    });
  });
  return {
    clusterName: assignment.clusterName,
    endpoints: [...byKey.values()],
    localities,
    policy: decodePolicy(assignment.policy, `${path}policy`, problems),
  };
}

function decodePolicy(
  policy: ClusterLoadAssignment_Policy | undefined,
  path: string,
  problems: Problems,
): AssignmentPolicy {
  if (policy === undefined) return defaultAssignmentPolicy;
  const factor = policy.overprovisioningFactor ?? defaultAssignmentPolicy.overprovisioningPercent;
  if (factor === 0) problems.invalid(`${path}.overprovisioning_factor`, "is 0");
  if (policy.dropOverloads.length > 1) problems.unsupported(`${path}.drop_overloads`, "more than one entry");
  return {
    overprovisioningPercent: factor,
    countsWeights: policy.weightedPriorityHealth,
    dropOverload: decodeDrop(policy.dropOverloads[0], `${path}.drop_overloads[0]`, problems),
    staleAfterMs: milliseconds(policy.endpointStaleAfter, 0),
  };
}

function decodeDrop(
  drop: ClusterLoadAssignment_Policy_DropOverload | undefined,
  path: string,
  problems: Problems,
): AssignmentPolicy["dropOverload"] {
  if (drop === undefined) return null;
  const { category, dropPercentage } = drop;
  if (category === "") problems.invalid(`${path}.category`, "is missing");
  const fraction = (dropPercentage?.numerator ?? 0) / (denominators[dropPercentage?.denominator ?? 0] ?? 100);
  if (fraction > 1) problems.invalid(`${path}.drop_percentage`, "is above 100 %");
  return fraction === 0 ? null : { category, fraction };
}

const denominators: readonly number[] = [100, 10_000, 1_000_000];

function decodeEndpoint(
  member: LbEndpoint,
  shared: Pick<EndpointConfig, "priority" | "locality" | "transportMatch">,
  path: string,
  problems: Problems,
): EndpointConfig | null {
  if (member.hostIdentifier.case !== "endpoint") {
    problems.unsupported(path, "an endpoint by name");
    return null;
  }
  const { address, additionalAddresses, healthCheckConfig, hostname } = member.hostIdentifier.value;
  const { host, port } = socketAddress(address, `${path}.endpoint.address`, problems);
  const metadata = member.metadata?.filterMetadata;
  const labels = matchLabels(member.metadata);
  return {
    key: formatAddress(host, port),
    host,
    port,
    additionalAddresses: decodeOthers(additionalAddresses, port, `${path}.endpoint`, problems),
    hostname,
    weight: Math.max(1, member.loadBalancingWeight ?? 1),
    priority: shared.priority,
    locality: shared.locality,
    health: endpointHealth(member.healthStatus),
    healthCheck: decodeHealthCheck(healthCheckConfig, `${path}.endpoint.health_check_config`, problems),
    metadata: metadata?.["envoy.lb"] ?? null,
    // The locality's labels are for endpoints that have none of their own.
    transportMatch: labels === undefined ? shared.transportMatch : strings(labels),
    workload: text(metadata?.["istio"]?.["workload"]),
  };
}

function decodeHealthCheck(
  check: Endpoint_HealthCheckConfig | undefined,
  path: string,
  problems: Problems,
): EndpointConfig["healthCheck"] {
  if (check === undefined) return null;
  const { address, portValue, hostname, disableActiveHealthCheck } = check;
  const other = address === undefined ? { host: "", port: 0 } : socketAddress(address, `${path}.address`, problems);
  return { host: other.host, port: portValue || other.port, hostname, isDisabled: disableActiveHealthCheck };
}

/** More addresses of the same endpoint; a connection goes to the first that answers. */
function decodeOthers(
  others: readonly { readonly address?: Address | undefined }[],
  port: number,
  path: string,
  problems: Problems,
): readonly string[] {
  if (others.length === 0) return noAddresses;
  return others.map(({ address }, i) => {
    const where = `${path}.additional_addresses[${i}].address`;
    const other = socketAddress(address, where, problems);
    if (other.port !== port) problems.unsupported(where, "another port than the endpoint's");
    return other.host;
  });
}

const noAddresses: readonly string[] = [];

function matchLabels(metadata: Metadata | undefined): JsonObject | undefined {
  return metadata?.filterMetadata["envoy.transport_socket_match"];
}

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
