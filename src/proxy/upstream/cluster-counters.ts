// What one cluster counts, over all routing priorities.
import type { CodecCounters } from "../stats/codec-stats.ts";
import { Histogram } from "../stats/histogram.ts";

export interface ClusterCounters {
  connections: number;
  connectionsTotal: number;
  connectFailures: number;
  /** Of them, those that took longer than the cluster's connect timeout. */
  connectTimeouts: number;
  /** Connections of TCP proxies that were given up after the last attempt. */
  connectAttemptsExceeded: number;
  pendingRequests: number;
  pendingRequestsTotal: number;
  activeRequests: number;
  requestsTotal: number;
  /** Requests that a circuit breaker refused. */
  overflows: number;
  connectionOverflows: number;
  poolOverflows: number;
  retriesTotal: number;
  retryOverflows: number;
  retryLimitExceeded: number;
  timeouts: number;
  perTryTimeouts: number;
  /** Exchanges that took longer than the cluster allows. */
  maxDurations: number;
  /** Requests that the endpoints' policy dropped. */
  droppedForOverload: number;
  /** Lookups of names. */
  updateAttempts: number;
  updateSuccesses: number;
  updateFailures: number;
  /** How often endpoints were given up because nobody confirmed them. */
  staleAssignments: number;
  /** Responses by status; null before the first. */
  statuses: Uint32Array | null;
  /** Null before the first. */
  times: ClusterTimes | null;
  /** Null before the first connection for HTTP. */
  codecs: CodecCounters | null;
}

/** In milliseconds; each null until there is one. */
export interface ClusterTimes {
  /** From the end of a request to the end of its response. */
  requests: Histogram | null;
  /** Until a connection can be used. */
  connects: Histogram | null;
  /** How long connections were open. */
  connections: Histogram | null;
}

/** Clusters are many, and few of them are used: their histograms are made when there is something to record. */
export function recordTime(counters: ClusterCounters, what: keyof ClusterTimes, sinceMs: number, now: number): void {
  counters.times ??= { requests: null, connects: null, connections: null };
  counters.times[what] ??= new Histogram();
  counters.times[what].record(now - sinceMs, now);
}

export function clusterCounters(): ClusterCounters {
  return {
    connections: 0,
    connectionsTotal: 0,
    connectFailures: 0,
    connectTimeouts: 0,
    connectAttemptsExceeded: 0,
    pendingRequests: 0,
    pendingRequestsTotal: 0,
    activeRequests: 0,
    requestsTotal: 0,
    overflows: 0,
    connectionOverflows: 0,
    poolOverflows: 0,
    retriesTotal: 0,
    retryOverflows: 0,
    retryLimitExceeded: 0,
    timeouts: 0,
    perTryTimeouts: 0,
    maxDurations: 0,
    droppedForOverload: 0,
    updateAttempts: 0,
    updateSuccesses: 0,
    updateFailures: 0,
    staleAssignments: 0,
    statuses: null,
    times: null,
    codecs: null,
  };
}
