// `/stats` and `/stats/prometheus`: Istio's traffic metrics, and Envoy's own statistics by Istio's minimal allowlist
// (server, cluster manager, listener manager, control plane). Per-cluster statistics are in `/stats` only.
import { getHeapStatistics } from "node:v8";
import type { StatValue } from "../stats/stats.ts";
import { clusterStats } from "./cluster-stats.ts";
import { listenerStats } from "./listener-stats.ts";
import type { ProxyState } from "./proxy-state.ts";

/** Envoy's text: one `name: value` per line, sorted. */
export function statsText(stats: readonly StatValue[]): string {
  return stats.map((stat) => `${stat.name}: ${stat.value}\n`).join("");
}

export function statsJson(stats: readonly StatValue[]): unknown {
  return { stats: stats.map(({ name, value }) => ({ name, value })) };
}

export function prometheusText(state: ProxyState): string {
  const own = state.counterReset
    .shown(serverStats(state))
    .map(({ name, kind, value }) => `# TYPE ${prometheusName(name)} ${kind}\n${prometheusName(name)}{} ${value}\n`);
  return state.trafficMetrics() + own.join("");
}

function prometheusName(name: string): string {
  return `envoy_${name.replace(/[^A-Za-z0-9_]/g, "_")}`;
}

/** All statistics, filtered by a test on the name. */
export function allStats(state: ProxyState, accepts: (name: string) => boolean): StatValue[] {
  return state.counterReset
    .shown(countedStats(state))
    .filter((stat) => accepts(stat.name))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** What was counted since the start. */
export function countedStats(state: ProxyState): StatValue[] {
  return [
    ...serverStats(state),
    ...clusterStats(state.clusters()),
    ...listenerStats(state.listeners()),
    ...state.stats(),
  ];
}

function serverStats(state: ProxyState): StatValue[] {
  const { configuration, now, startedAtMs } = state;
  const clusters = state.clusters();
  const listeners = state.listeners();
  const heap = getHeapStatistics();
  const ads = state.ads();
  const warmClusters = clusters.filter((cluster) => cluster.isWarm).length;
  const connections = listeners.reduce((sum, listener) => sum + listener.activeConnections, 0);
  const days = daysUntilExpiry(state);
  return [
    gauge("server.uptime", Math.floor((now() - startedAtMs) / 1000)),
    gauge("server.live", state.serverState() === "LIVE" ? 1 : 0),
    gauge("server.state", { LIVE: 0, DRAINING: 1, INITIALIZING: 3 }[state.serverState()]),
    gauge("server.concurrency", state.concurrency),
    gauge("server.memory_allocated", heap.used_heap_size),
    gauge("server.memory_heap_size", heap.total_heap_size),
    gauge("server.memory_physical_size", process.memoryUsage.rss()),
    gauge("server.total_connections", connections),
    ...(days === null ? [] : [gauge("server.days_until_first_cert_expiring", days)]),
    gauge("cluster_manager.active_clusters", clusters.length),
    gauge("cluster_manager.warming_clusters", configuration.clusters.size - warmClusters),
    counter("cluster_manager.cds.update_success", configuration.clusters.acceptedUpdates),
    counter("cluster_manager.cds.update_rejected", configuration.clusters.refusedUpdates),
    gauge("cluster_manager.cds.update_time", configuration.clusters.lastUpdatedMs),
    gauge("listener_manager.total_listeners_active", listeners.length),
    gauge("listener_manager.total_listeners_warming", configuration.listeners.size - listeners.length),
    counter("listener_manager.lds.update_success", configuration.listeners.acceptedUpdates),
    counter("listener_manager.lds.update_rejected", configuration.listeners.refusedUpdates),
    gauge("listener_manager.lds.update_time", configuration.listeners.lastUpdatedMs),
    ...(ads === null ? [] : [gauge("control_plane.connected_state", ads.connected ? 1 : 0)]),
  ];
}

function daysUntilExpiry(state: ProxyState): number | null {
  const ends = state.secrets.certificateNames().flatMap((name) => state.secrets.certificate(name)?.notAfterMs ?? []);
  return ends.length === 0 ? null : Math.max(0, Math.floor((Math.min(...ends) - state.now()) / 86_400_000));
}

function gauge(name: string, value: number): StatValue {
  return { name, kind: "gauge", value };
}

function counter(name: string, value: number): StatValue {
  return { name, kind: "counter", value };
}
