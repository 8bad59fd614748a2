// `proxy-config endpoints`: from Envoy's `/clusters?format=json`, which knows live health. `proxy-config eds`: the same
// endpoints as the control plane sent them, from the dump.
import { renderTable } from "../../render/table.ts";
import { formatAddress } from "./address.ts";
import { type Json, list, object, text } from "./config-dump.ts";
import { camelCaseFields } from "./field-names.ts";

export interface EndpointFilter {
  readonly address: string | undefined;
  readonly port: string | undefined;
  readonly cluster: string | undefined;
  readonly status: string | undefined;
}

/** Envoy's cluster statuses with the hosts that pass, without clusters that have none. Reads both spellings. */
export function selectHosts(clusters: unknown, filter: EndpointFilter): Json[] {
  return list(object(camelCaseFields(clusters))["clusterStatuses"])
    .map((cluster) => ({
      ...cluster,
      hostStatuses: list(cluster["hostStatuses"]).filter((host) =>
        passes(filter, formatAddress(host["address"]), hostStatus(host), text(cluster["name"])),
      ),
    }))
    .filter(({ hostStatuses }) => hostStatuses.length > 0);
}

export function hostTable(clusters: readonly Json[]): string {
  const rows = clusters.flatMap((cluster) =>
    list(cluster["hostStatuses"]).map((host) => [
      formatAddress(host["address"]),
      hostStatus(host),
      object(host["healthStatus"])["failedOutlierCheck"] === true ? "FAILED" : "OK",
      text(cluster["name"]),
    ]),
  );
  return renderTable(["ENDPOINT", "STATUS", "OUTLIER CHECK", "CLUSTER"], rows.sort(byClusterThenEndpoint));
}

/** Cluster load assignments with the endpoints that pass, without those that have none. */
export function selectAssignments(assignments: readonly Json[], filter: EndpointFilter): Json[] {
  return assignments.flatMap((assignment) => {
    const endpoints = list(assignment["endpoints"]).flatMap((group) => {
      const lbEndpoints = list(group["lbEndpoints"]).filter((entry) =>
        passes(filter, addressOf(entry), assignedStatus(entry), text(assignment["clusterName"])),
      );
      return lbEndpoints.length === 0 ? [] : [{ ...group, lbEndpoints }];
    });
    return endpoints.length === 0 ? [] : [{ ...assignment, endpoints }];
  });
}

export function assignmentTable(assignments: readonly Json[]): string {
  const rows = assignments.flatMap((assignment) =>
    list(assignment["endpoints"]).flatMap((group) => {
      const { region, zone, subZone } = object(group["locality"]);
      const locality = [region, zone, subZone].map(text).filter((part) => part !== "");
      return list(group["lbEndpoints"]).map((entry) => [
        addressOf(entry),
        assignedStatus(entry),
        locality.join("/"),
        text(assignment["clusterName"]),
      ]);
    }),
  );
  return renderTable(["NAME", "STATUS", "LOCALITY", "CLUSTER"], rows.sort(byClusterThenEndpoint));
}

function hostStatus(host: Json): string {
  return text(object(host["healthStatus"])["edsHealthStatus"]) || "HEALTHY";
}

function addressOf(entry: Json): string {
  return formatAddress(object(entry["endpoint"])["address"]);
}

function assignedStatus(entry: Json): string {
  return text(entry["healthStatus"]) || "UNKNOWN";
}

function passes(filter: EndpointFilter, endpoint: string, status: string, cluster: string): boolean {
  const colon = endpoint.lastIndexOf(":");
  return (
    (filter.address === undefined || endpoint.slice(0, colon) === filter.address) &&
    (filter.port === undefined || endpoint.slice(colon + 1) === filter.port) &&
    (filter.cluster === undefined || cluster === filter.cluster) &&
    (filter.status === undefined || status.toLowerCase() === filter.status.toLowerCase())
  );
}

function byClusterThenEndpoint(left: readonly string[], right: readonly string[]): number {
  return (left.at(-1) ?? "").localeCompare(right.at(-1) ?? "") || (left[0] ?? "").localeCompare(right[0] ?? "");
}
