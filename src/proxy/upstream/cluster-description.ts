// What the admin API shows of a cluster: everything about it at one moment, as plain data.
import type { ClusterConfig, EndpointConfig } from "../config/cluster.ts";
import type { CodecCounters } from "../stats/codec-stats.ts";
import type { HistogramValue } from "../stats/histogram.ts";
import type { BalancerCounters } from "./balance/balancer.ts";
import type { CircuitBreaker } from "./circuit-breaker.ts";
import type { Cluster } from "./cluster.ts";
import type { ClusterCounters, ClusterTimes } from "./cluster-counters.ts";
import type { UpstreamEndpoint } from "./endpoint.ts";
import type { HealthCheckCounters } from "./health/health-checker.ts";
import { describeEjection, type EjectionType } from "./outlier/ejection.ts";
import type { OutlierCounters } from "./outlier/outlier-counters.ts";

export interface ClusterDescription {
  readonly name: string;
  readonly config: ClusterConfig;
  readonly isWarm: boolean;
  readonly counters: Readonly<ClusterCounters>;
  /** Null: there was none yet. */
  readonly times: Readonly<Record<keyof ClusterTimes, HistogramValue | null>>;
  /** Null: there was no connection for HTTP yet. */
  readonly codecs: CodecCounters | null;
  readonly breakers: readonly CircuitBreaker[];
  readonly balancer: Readonly<BalancerCounters>;
  /** How often members came or went. */
  readonly membershipChanges: number;
  /** Null without health checks. */
  readonly checks: HealthCheckCounters | null;
  /** Null without outlier detection. */
  readonly outliers: OutlierDescription | null;
  readonly endpoints: readonly EndpointDescription[];
}

export interface OutlierDescription {
  readonly counters: OutlierCounters;
  /** Percent; -1: not known. */
  readonly answers: RateDescription;
  readonly connects: RateDescription;
}

interface RateDescription {
  readonly average: number;
  readonly threshold: number;
}

export interface EndpointDescription {
  readonly config: EndpointConfig;
  readonly healthFlags: number;
  readonly activeRequests: number;
  readonly activeConnections: number;
  readonly connectionsTotal: number;
  readonly connectFailures: number;
  readonly requestsTotal: number;
  readonly requestErrors: number;
  readonly requestTimeouts: number;
  /** Why the last health check failed; empty when it passed, or there was none. */
  readonly checkFailure: string;
  /** Percent of the last interval of outlier detection; -1: not known. */
  readonly successRate: number;
  readonly localOriginSuccessRate: number;
  /** How often it was ejected. */
  readonly ejections: number;
  /** Null when it is not ejected. */
  readonly ejection: { readonly type: EjectionType; readonly leftMs: number; readonly words: string } | null;
}

export function describeCluster(cluster: Cluster): ClusterDescription {
  const now = cluster.loop.clock.now();
  const { outliers } = cluster;
  const { times } = cluster.counters;
  return {
    name: cluster.config.name,
    config: cluster.config,
    isWarm: cluster.isWarm,
    counters: cluster.counters,
    times: {
      requests: times?.requests?.value(now) ?? null,
      connects: times?.connects?.value(now) ?? null,
      connections: times?.connections?.value(now) ?? null,
    },
    codecs: cluster.counters.codecs,
    breakers: [cluster.breakers.default, cluster.breakers.high],
    balancer: cluster.balancerCounters,
    membershipChanges: cluster.membershipChanges,
    checks: cluster.checker?.counters ?? null,
    outliers: outliers && { counters: outliers.counters, answers: outliers.answers, connects: outliers.connects },
    endpoints: cluster.endpoints.map((endpoint) => describeEndpoint(endpoint, now)),
  };
}

function describeEndpoint(endpoint: UpstreamEndpoint, now: number): EndpointDescription {
  const { outlier } = endpoint;
  const ejection = outlier?.ejection ?? null;
  return {
    config: endpoint.config,
    healthFlags: endpoint.healthFlags,
    activeRequests: endpoint.activeRequests,
    activeConnections: endpoint.activeConnections,
    connectionsTotal: endpoint.connectionsTotal,
    connectFailures: endpoint.connectFailures,
    requestsTotal: endpoint.requestsTotal,
    requestErrors: endpoint.requestErrors,
    requestTimeouts: endpoint.requestTimeouts,
    checkFailure: endpoint.checks?.lastFailure ?? "",
    successRate: outlier?.answers.rate ?? -1,
    localOriginSuccessRate: outlier?.connects.rate ?? -1,
    ejections: outlier?.ejections ?? 0,
    ejection: ejection && {
      type: ejection.type,
      leftMs: Math.max(0, ejection.until - now),
      words: describeEjection(ejection, now),
    },
  };
}
