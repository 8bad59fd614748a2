// Envoy's statistics of a TCP proxy, looked up once per filter.
import type { Counter, Gauge, Stats } from "../../../stats/stats.ts";

export interface TcpProxyStats {
  readonly connections: Counter;
  readonly noRoute: Counter;
  readonly receivedBytes: Counter;
  readonly sentBytes: Counter;
  readonly pauses: Counter;
  readonly resumes: Counter;
  readonly idleTimeouts: Counter;
  readonly maxDurations: Counter;
  /** Upstream connections whose client is gone and that are still being written. */
  readonly upstreamFlushes: Counter;
  readonly upstreamFlushesActive: Gauge;
}

/** `prefix` ends with a dot. */
export function tcpProxyStats(stats: Stats, prefix: string): TcpProxyStats {
  return {
    connections: stats.counter(`${prefix}downstream_cx_total`),
    noRoute: stats.counter(`${prefix}downstream_cx_no_route`),
    receivedBytes: stats.counter(`${prefix}downstream_cx_rx_bytes_total`),
    sentBytes: stats.counter(`${prefix}downstream_cx_tx_bytes_total`),
    pauses: stats.counter(`${prefix}downstream_flow_control_paused_reading_total`),
    resumes: stats.counter(`${prefix}downstream_flow_control_resumed_reading_total`),
    idleTimeouts: stats.counter(`${prefix}idle_timeout`),
    maxDurations: stats.counter(`${prefix}max_downstream_connection_duration`),
    upstreamFlushes: stats.counter(`${prefix}upstream_flush_total`),
    upstreamFlushesActive: stats.gauge(`${prefix}upstream_flush_active`),
  };
}
