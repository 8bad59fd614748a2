// `/clusters`: live endpoints with health and counters, in Envoy's text and JSON.
import { describeFlags } from "../upstream/balance/host.ts";
import type { ClusterDescription, EndpointDescription } from "../upstream/cluster-manager.ts";
import type { ProxyState } from "./proxy-state.ts";

export function clustersText(state: ProxyState): string {
  let text = "";
  for (const cluster of state.clusters()) text += clusterLines(cluster);
  return text;
}

function clusterLines(cluster: ClusterDescription): string {
  const { name, config } = cluster;
  const limits = config.thresholds;
  const lines: [string, string | number | boolean][] = [
    ["observability_name", name],
    ["default_priority::max_connections", limits.maxConnections],
    ["default_priority::max_pending_requests", limits.maxPendingRequests],
    ["default_priority::max_requests", limits.maxRequests],
    ["default_priority::max_retries", limits.maxRetries],
    ["added_via_api", true],
    ...(config.type === "eds" ? [["eds_service_name", config.edsServiceName || name] as [string, string]] : []),
    ...cluster.endpoints.flatMap(endpointLines),
  ];
  return lines.map(([key, value]) => `${name}::${key}::${value}\n`).join("");
}

function endpointLines(endpoint: EndpointDescription): [string, string | number][] {
  const [region = "", zone = "", subZone = ""] = endpoint.locality.split("/");
  const values: [string, string | number][] = [
    ...counters(endpoint),
    ["hostname", ""],
    ["health_flags", describeFlags(endpoint.healthFlags)],
    ["weight", endpoint.weight],
    ["region", region],
    ["zone", zone],
    ["sub_zone", subZone],
    ["canary", "false"],
    ["priority", endpoint.priority],
    ["success_rate", "-1"],
    ["local_origin_success_rate", "-1"],
  ];
  return values.map(([key, value]) => [`${endpoint.address}::${key}`, value]);
}

function counters(endpoint: EndpointDescription): [string, number][] {
  return [
    ["cx_active", endpoint.activeConnections],
    ["cx_connect_fail", endpoint.connectFailures],
    ["cx_total", endpoint.connectionsTotal],
    ["rq_active", endpoint.activeRequests],
    ["rq_error", endpoint.requestErrors],
    ["rq_success", Math.max(0, endpoint.requestsTotal - endpoint.requestErrors - endpoint.activeRequests)],
    ["rq_timeout", endpoint.requestTimeouts],
    ["rq_total", endpoint.requestsTotal],
  ];
}

const edsStatus: Readonly<Record<string, string>> = {
  // As Envoy shows it: nothing speaks against the endpoint.
  unknown: "HEALTHY",
  healthy: "HEALTHY",
  timeout: "TIMEOUT",
  unhealthy: "UNHEALTHY",
  draining: "DRAINING",
  degraded: "DEGRADED",
};

export function clustersJson(state: ProxyState): unknown {
  return {
    cluster_statuses: state.clusters().map((cluster) => ({
      name: cluster.name,
      added_via_api: true,
      observability_name: cluster.name,
      ...(cluster.config.type === "eds" && { eds_service_name: cluster.config.edsServiceName || cluster.name }),
      circuit_breakers: {
        thresholds: [
          {
            max_connections: cluster.config.thresholds.maxConnections,
            max_pending_requests: cluster.config.thresholds.maxPendingRequests,
            max_requests: cluster.config.thresholds.maxRequests,
            max_retries: cluster.config.thresholds.maxRetries,
          },
        ],
      },
      host_statuses: cluster.endpoints.map(hostStatus),
    })),
  };
}

function hostStatus(endpoint: EndpointDescription): object {
  const colon = endpoint.address.lastIndexOf(":");
  const [region = "", zone = "", sub_zone = ""] = endpoint.locality.split("/");
  return {
    address: {
      socket_address: {
        address: endpoint.address.slice(0, colon).replace(/^\[|\]$/g, ""),
        port_value: Number(endpoint.address.slice(colon + 1)),
      },
    },
    stats: counters(endpoint).map(([name, value]) => ({
      name,
      value: String(value),
      ...(name.endsWith("_active") && { type: "GAUGE" }),
    })),
    health_status: { eds_health_status: edsStatus[endpoint.health] ?? "UNKNOWN" },
    weight: endpoint.weight,
    priority: endpoint.priority,
    locality: { region, zone, sub_zone },
  };
}
