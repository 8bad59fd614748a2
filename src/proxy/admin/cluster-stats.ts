// Statistics of clusters under Envoy's names:
// https://www.envoyproxy.io/docs/envoy/latest/configuration/upstream/cluster_manager/cluster_stats
import { codecStats } from "../stats/codec-stats.ts";
import { histogramStat, type StatValue } from "../stats/stats.ts";
import { DEGRADED_ACTIVE_HC, FAILED_ACTIVE_HC, isDegraded, isUnhealthy } from "../upstream/balance/host.ts";
import { type CircuitBreaker, mostRetries } from "../upstream/circuit-breaker.ts";
import type { ClusterDescription, OutlierDescription } from "../upstream/cluster-description.ts";
import type { HealthCheckCounters } from "../upstream/health/health-checker.ts";
import type { EjectionType } from "../upstream/outlier/ejection.ts";

type Row = readonly [kind: StatValue["kind"], name: string, value: number];

/** What stands for the cluster in names of statistics, where Envoy's separator may not. */
export function statNameOf({ config }: ClusterDescription): string {
  return config.observabilityName.replaceAll(":", "_");
}

export function clusterStats(clusters: readonly ClusterDescription[]): StatValue[] {
  return clusters.flatMap((cluster) => {
    const prefix = `cluster.${statNameOf(cluster)}.`;
    return [
      ...rowsOf(cluster).map(([kind, name, value]): StatValue => ({ kind, name: prefix + name, value })),
      ...(cluster.codecs === null ? [] : codecStats(prefix, cluster.codecs)),
      histogramStat(`${prefix}upstream_rq_time`, cluster.times.requests),
      histogramStat(`${prefix}upstream_cx_connect_ms`, cluster.times.connects),
      histogramStat(`${prefix}upstream_cx_length_ms`, cluster.times.connections),
    ];
  });
}

function rowsOf(cluster: ClusterDescription): Row[] {
  const { counters } = cluster;
  return [
    ["counter", "upstream_cx_total", counters.connectionsTotal],
    ["gauge", "upstream_cx_active", counters.connections],
    ["counter", "upstream_cx_connect_fail", counters.connectFailures],
    ["counter", "upstream_cx_connect_timeout", counters.connectTimeouts],
    ["counter", "upstream_cx_connect_attempts_exceeded", counters.connectAttemptsExceeded],
    ["counter", "upstream_cx_overflow", counters.connectionOverflows],
    ["counter", "upstream_cx_pool_overflow", counters.poolOverflows],
    ["counter", "upstream_rq_total", counters.requestsTotal],
    ["gauge", "upstream_rq_active", counters.activeRequests],
    ["counter", "upstream_rq_pending_total", counters.pendingRequestsTotal],
    ["gauge", "upstream_rq_pending_active", counters.pendingRequests],
    ["counter", "upstream_rq_pending_overflow", counters.overflows],
    ["counter", "upstream_rq_timeout", counters.timeouts],
    ["counter", "upstream_rq_per_try_timeout", counters.perTryTimeouts],
    ["counter", "upstream_rq_max_duration_reached", counters.maxDurations],
    ["counter", "upstream_rq_retry", counters.retriesTotal],
    ["counter", "upstream_rq_retry_overflow", counters.retryOverflows],
    ["counter", "upstream_rq_retry_limit_exceeded", counters.retryLimitExceeded],
    ...statusRows(counters.statuses),
    ["counter", "upstream_rq_drop_overload", counters.droppedForOverload],
    ["counter", "update_attempt", counters.updateAttempts],
    ["counter", "update_success", counters.updateSuccesses],
    ["counter", "update_failure", counters.updateFailures],
    ["counter", "assignment_stale", counters.staleAssignments],
    ...cluster.breakers.flatMap(breakerRows),
    ...membershipRows(cluster),
    ...balancerRows(cluster),
    ...(cluster.checks === null ? [] : checkRows(cluster, cluster.checks)),
    ...(cluster.outliers === null ? [] : outlierRows(cluster.outliers)),
  ];
}

function statusRows(statuses: Uint32Array | null): Row[] {
  if (statuses === null) return [];
  const classes = [0, 0, 0, 0, 0, 0];
  const rows: Row[] = [];
  let completed = 0;
  statuses.forEach((count, status) => {
    if (count === 0) return;
    const digit = Math.floor(status / 100);
    classes[digit] = (classes[digit] ?? 0) + count;
    completed += count;
    rows.push(["counter", `upstream_rq_${status}`, count]);
  });
  classes.forEach((count, digit) => {
    if (count > 0) rows.push(["counter", `upstream_rq_${digit}xx`, count]);
  });
  return [...rows, ["counter", "upstream_rq_completed", completed]];
}

function checkRows({ endpoints }: ClusterDescription, counters: HealthCheckCounters): Row[] {
  const passing = endpoints.filter((it) => (it.healthFlags & FAILED_ACTIVE_HC) === 0);
  const degraded = passing.filter((it) => (it.healthFlags & DEGRADED_ACTIVE_HC) !== 0).length;
  return [
    ["counter", "health_check.attempt", counters.attempts],
    ["counter", "health_check.success", counters.successes],
    ["counter", "health_check.failure", counters.failures],
    ["counter", "health_check.passive_failure", counters.passiveFailures],
    ["counter", "health_check.network_failure", counters.networkFailures],
    ["counter", "health_check.verify_cluster", counters.otherServices],
    ["gauge", "health_check.healthy", passing.length],
    ["gauge", "health_check.degraded", degraded],
  ];
}

function breakerRows(breaker: CircuitBreaker): Row[] {
  const { limits } = breaker;
  const used: [string, number, number][] = [
    ["cx", breaker.connections, limits.maxConnections],
    ["rq_pending", breaker.pendingRequests, limits.maxPendingRequests],
    ["rq", breaker.requests, limits.maxRequests],
    ["rq_retry", breaker.retries, mostRetries(limits, breaker.requests)],
  ];
  const left = {
    cx: "remaining_cx",
    rq_pending: "remaining_pending",
    rq: "remaining_rq",
    rq_retry: "remaining_retries",
  };
  const prefix = `circuit_breakers.${breaker.priority}`;
  return used.flatMap(([name, count, limit]): Row[] => [
    ["gauge", `${prefix}.${name}_open`, count >= limit ? 1 : 0],
    ...(limits.tracksRemaining
      ? [["gauge", `${prefix}.${left[name as keyof typeof left]}`, Math.max(0, limit - count)] as const]
      : []),
  ]);
}

function membershipRows({ endpoints, membershipChanges }: ClusterDescription): Row[] {
  let healthy = 0;
  let degraded = 0;
  for (const { healthFlags } of endpoints) {
    if (isDegraded(healthFlags)) degraded++;
    else if (!isUnhealthy(healthFlags)) healthy++;
  }
  return [
    ["counter", "membership_change", membershipChanges],
    ["gauge", "membership_total", endpoints.length],
    ["gauge", "membership_healthy", healthy],
    ["gauge", "membership_degraded", degraded],
  ];
}

function balancerRows({ balancer, config }: ClusterDescription): Row[] {
  return [
    ["counter", "lb_healthy_panic", balancer.healthyPanic],
    ["counter", "lb_local_cluster_not_ok", balancer.localClusterNotOk],
    ["counter", "lb_recalculate_zone_structures", balancer.zoneRecalculations],
    ["counter", "lb_zone_cluster_too_small", balancer.zoneClusterTooSmall],
    ["counter", "lb_zone_no_capacity_left", balancer.zoneNoCapacityLeft],
    ["counter", "lb_zone_routing_all_directly", balancer.zoneRoutingAllDirectly],
    ["counter", "lb_zone_routing_cross_zone", balancer.zoneRoutingCrossZone],
    ["counter", "lb_zone_routing_sampled", balancer.zoneRoutingSampled],
    ...(config.type === "original_dst"
      ? [["counter", "original_dst_host_invalid", balancer.invalidOriginalDestinations] as const]
      : []),
    ...(config.loadBalancing.subsets === null
      ? []
      : [
          ["gauge", "lb_subsets_active", balancer.subsetsActive] as const,
          ["counter", "lb_subsets_selected", balancer.subsetsSelected] as const,
          ["counter", "lb_subsets_fallback", balancer.subsetsFallback] as const,
          ["counter", "lb_subsets_fallback_panic", balancer.subsetsFallbackPanic] as const,
          ["gauge", "lb_subsets_single_host_per_subset_duplicate", balancer.singleHostDuplicates] as const,
        ]),
  ];
}

const ejectionNames: Readonly<Record<EjectionType, string>> = {
  CONSECUTIVE_5XX: "consecutive_5xx",
  CONSECUTIVE_GATEWAY_FAILURE: "consecutive_gateway_failure",
  CONSECUTIVE_LOCAL_ORIGIN_FAILURE: "consecutive_local_origin_failure",
  SUCCESS_RATE: "success_rate",
  SUCCESS_RATE_LOCAL_ORIGIN: "local_origin_success_rate",
  FAILURE_PERCENTAGE: "failure_percentage",
  FAILURE_PERCENTAGE_LOCAL_ORIGIN: "failure_percentage_local_origin",
};

function outlierRows({ counters }: OutlierDescription): Row[] {
  const { detected, enforced } = counters;
  const types = Object.keys(ejectionNames) as EjectionType[];
  return [
    ["gauge", "outlier_detection.ejections_active", counters.ejectionsActive],
    ["counter", "outlier_detection.ejections_overflow", counters.ejectionsOverflow],
    ["counter", "outlier_detection.ejections_enforced_total", types.reduce((sum, type) => sum + enforced[type], 0)],
    ...types.flatMap((type): Row[] => [
      ["counter", `outlier_detection.ejections_detected_${ejectionNames[type]}`, detected[type]],
      ["counter", `outlier_detection.ejections_enforced_${ejectionNames[type]}`, enforced[type]],
    ]),
  ];
}
