// `/clusters`: live endpoints with health and counters, in Envoy's text and JSON. The text has one line more for an
// endpoint that is ejected (why, and for how long) or failed its last health check (why).
import type { CircuitBreakerThresholds, ClusterConfig } from "../config/cluster.ts";
import type { EndpointHealth } from "../config/load-balancing.ts";
import {
  ACTIVE_HC_TIMEOUT,
  DEGRADED_ACTIVE_HC,
  describeFlags,
  EXCLUDED_VIA_IMMEDIATE_HC_FAIL,
  FAILED_ACTIVE_HC,
  FAILED_OUTLIER_CHECK,
  PENDING_ACTIVE_HC,
  PENDING_DYNAMIC_REMOVAL,
} from "../upstream/balance/host.ts";
import type { ClusterDescription, EndpointDescription, OutlierDescription } from "../upstream/cluster-description.ts";
import { addressJson } from "./address.ts";
import type { ProxyState } from "./proxy-state.ts";

type Line = readonly [key: string, value: string | number | boolean];

export function clustersText(state: ProxyState): string {
  let text = "";
  for (const cluster of state.clusters()) text += clusterLines(state, cluster);
  return text;
}

function clusterLines(state: ProxyState, cluster: ClusterDescription): string {
  const { name, config } = cluster;
  const lines: Line[] = [
    ["observability_name", config.observabilityName],
    ...(cluster.outliers === null ? [] : outlierLines(cluster.outliers)),
    ...thresholdLines("default_priority", config.circuitBreakers.default),
    ...thresholdLines("high_priority", config.circuitBreakers.high),
    ["added_via_api", isAddedViaApi(state)],
    ...(config.type === "eds" ? [["eds_service_name", config.edsServiceName || name] as const] : []),
    ...cluster.endpoints.flatMap(endpointLines),
  ];
  return lines.map(([key, value]) => `${name}::${key}::${value}\n`).join("");
}

/** Clusters come from the control plane, or from the bootstrap where there is none. */
function isAddedViaApi(state: ProxyState): boolean {
  return state.bootstrap === null;
}

function outlierLines({ answers, connects }: OutlierDescription): Line[] {
  return [
    ["outlier::success_rate_average", short(answers.average)],
    ["outlier::success_rate_ejection_threshold", short(answers.threshold)],
    ["outlier::local_origin_success_rate_average", short(connects.average)],
    ["outlier::local_origin_success_rate_ejection_threshold", short(connects.threshold)],
  ];
}

/** Six significant digits, as C prints a number with `%g`. */
function short(value: number): string {
  return String(Number(value.toPrecision(6)));
}

function thresholdLines(priority: string, limits: CircuitBreakerThresholds): Line[] {
  return [
    [`${priority}::max_connections`, limits.maxConnections],
    [`${priority}::max_pending_requests`, limits.maxPendingRequests],
    [`${priority}::max_requests`, limits.maxRequests],
    [`${priority}::max_retries`, limits.maxRetries],
  ];
}

function endpointLines(endpoint: EndpointDescription): Line[] {
  const { config } = endpoint;
  const { region, zone, sub_zone } = localityOf(endpoint);
  const values: Line[] = [
    ...counters(endpoint),
    ["hostname", config.hostname],
    ["health_flags", describeFlags(endpoint.healthFlags)],
    ["weight", config.weight],
    ["region", region],
    ["zone", zone],
    ["sub_zone", sub_zone],
    ["canary", config.metadata?.["canary"] === true],
    ["priority", config.priority],
    ["success_rate", short(endpoint.successRate)],
    ["local_origin_success_rate", short(endpoint.localOriginSuccessRate)],
    ...(endpoint.checkFailure === "" ? [] : [["health_check_failure", endpoint.checkFailure] as const]),
    ...(endpoint.ejection === null ? [] : [["ejection", endpoint.ejection.words] as const]),
  ];
  return values.map(([key, value]) => [`${config.key}::${key}`, value]);
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

function localityOf({ config }: EndpointDescription): { region: string; zone: string; sub_zone: string } {
  const [region = "", zone = "", ...rest] = config.locality.split("/");
  return { region, zone, sub_zone: rest.join("/") };
}

const edsStatus: Readonly<Record<EndpointHealth, string>> = {
  // As Envoy shows it: nothing speaks against the endpoint.
  unknown: "HEALTHY",
  healthy: "HEALTHY",
  timeout: "TIMEOUT",
  unhealthy: "UNHEALTHY",
  draining: "DRAINING",
  degraded: "DEGRADED",
};

export function clustersJson(state: ProxyState): unknown {
  return { cluster_statuses: state.clusters().map((cluster) => clusterStatus(state, cluster)) };
}

function clusterStatus(state: ProxyState, cluster: ClusterDescription): object {
  const { name, config, outliers } = cluster;
  return {
    name,
    ...(isAddedViaApi(state) && { added_via_api: true }),
    ...rate("success_rate_ejection_threshold", outliers?.answers.threshold),
    ...rate("local_origin_success_rate_ejection_threshold", outliers?.connects.threshold),
    host_statuses: cluster.endpoints.map(hostStatus),
    circuit_breakers: breakersOf(config.circuitBreakers),
    observability_name: config.observabilityName,
    ...(config.type === "eds" && { eds_service_name: config.edsServiceName || name }),
  };
}

function rate(name: string, value: number | undefined): object {
  return value === undefined || value < 0 ? {} : { [name]: { value } };
}

function breakersOf(breakers: ClusterConfig["circuitBreakers"]): object {
  const perHost = (["default", "high"] as const).flatMap((priority) => {
    const limit = breakers[priority].maxConnectionsPerHost;
    return Number.isFinite(limit) ? [{ ...(priority === "high" && { priority: "HIGH" }), max_connections: limit }] : [];
  });
  return {
    thresholds: [thresholdsOf("DEFAULT", breakers.default), thresholdsOf("HIGH", breakers.high)],
    ...(perHost.length > 0 && { per_host_thresholds: perHost }),
  };
}

function thresholdsOf(priority: "DEFAULT" | "HIGH", limits: CircuitBreakerThresholds): object {
  return {
    ...(priority === "HIGH" && { priority }),
    max_connections: limits.maxConnections,
    max_pending_requests: limits.maxPendingRequests,
    max_requests: limits.maxRequests,
    max_retries: limits.maxRetries,
    ...(limits.retryBudget !== null && {
      retry_budget: {
        budget_percent: { value: limits.retryBudget.percent },
        min_retry_concurrency: limits.retryBudget.minConcurrency,
      },
    }),
    ...(limits.tracksRemaining && { track_remaining: true }),
    ...(Number.isFinite(limits.maxConnectionPools) && { max_connection_pools: limits.maxConnectionPools }),
  };
}

function hostStatus(endpoint: EndpointDescription): object {
  const { config } = endpoint;
  return {
    address: addressJson(config.host, config.port),
    stats: hostStats(endpoint),
    health_status: healthStatus(endpoint),
    ...rate("success_rate", endpoint.successRate),
    weight: config.weight,
    ...(config.hostname !== "" && { hostname: config.hostname }),
    ...(config.priority !== 0 && { priority: config.priority }),
    ...rate("local_origin_success_rate", endpoint.localOriginSuccessRate),
    locality: localityOf(endpoint),
  };
}

function hostStats(endpoint: EndpointDescription): object[] {
  const { ejection, ejections } = endpoint;
  const stat = (name: string, value: number, isGauge: boolean): object => ({
    ...(isGauge && { type: "GAUGE" }),
    value: String(value),
    name,
  });
  return [
    ...counters(endpoint).map(([name, value]) => stat(name, value, name.endsWith("_active"))),
    // Envoy has no field for these.
    ...(ejections === 0 ? [] : [stat("ejections", ejections, false)]),
    ...(ejection === null ? [] : [stat(`ejected.${ejection.type}.left_ms`, ejection.leftMs, true)]),
  ];
}

function healthStatus({ config, healthFlags }: EndpointDescription): object {
  const has = (flag: number): boolean => (healthFlags & flag) !== 0;
  return {
    ...(has(FAILED_ACTIVE_HC) && { failed_active_health_check: true }),
    ...(has(FAILED_OUTLIER_CHECK) && { failed_outlier_check: true }),
    eds_health_status: edsStatus[config.health],
    ...(has(DEGRADED_ACTIVE_HC) && { failed_active_degraded_check: true }),
    ...(has(PENDING_DYNAMIC_REMOVAL) && { pending_dynamic_removal: true }),
    ...(has(PENDING_ACTIVE_HC) && { pending_active_hc: true }),
    ...(has(EXCLUDED_VIA_IMMEDIATE_HC_FAIL) && { excluded_via_immediate_hc_fail: true }),
    ...(has(ACTIVE_HC_TIMEOUT) && { active_hc_timeout: true }),
  };
}
