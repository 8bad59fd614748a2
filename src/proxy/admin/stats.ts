// `/stats` and `/stats/prometheus`: Istio's traffic metrics, and Envoy's own statistics by Istio's minimal allowlist
// (server, cluster manager, listener manager, control plane) with what the workload's settings add. The others are in
// `/stats`, and in Prometheus' format where a filter asks for them.
import { getHeapStatistics } from "node:v8";
import type { StatValue } from "../stats/stats.ts";
import { clusterStats, statNameOf } from "./cluster-stats.ts";
import { type BucketMode, histogramsJson, histogramText } from "./histogram-text.ts";
import { listenerStats } from "./listener-stats.ts";
import { prometheusStats } from "./prometheus-text.ts";
import type { ProxyState } from "./proxy-state.ts";

/** Which statistics are asked for; histograms come last, as in Envoy. */
interface StatsQuestion {
  readonly accepts: (stat: StatValue) => boolean;
  readonly buckets: BucketMode;
}

/** Envoy's text: one `name: value` per line, sorted. */
export function statsText(state: ProxyState, { accepts, buckets }: StatsQuestion): string {
  const lines = (stat: StatValue): string =>
    stat.kind === "histogram" ? histogramText(stat, buckets) : `${stat.name}: ${stat.value}\n`;
  return allStats(state, accepts).map(lines).join("");
}

export function statsJson(state: ProxyState, { accepts, buckets }: StatsQuestion): unknown {
  const stats = allStats(state, accepts);
  const numbers = stats.filter(({ kind }) => kind !== "histogram").map(({ name, value }) => ({ name, value }));
  const histograms = histogramsJson(stats, buckets);
  return { stats: histograms === null ? numbers : [...numbers, histograms] };
}

/** `accepts` null: Istio's traffic metrics, and of the others those of Istio's minimal list. */
export function prometheusText(state: ProxyState, accepts: StatsQuestion["accepts"] | null = null): string {
  if (accepts === null) return state.trafficMetrics() + scrapedStats(state);
  return prometheusStats(allStats(state, accepts), state.clusters().map(statNameOf));
}

function scrapedStats(state: ProxyState): string {
  const { includesStat } = state;
  const minimal = state.counterReset.shown(serverStats(state));
  if (includesStat === null) return prometheusStats(minimal, []);
  const names = new Set(minimal.map(({ name }) => name));
  return prometheusStats(
    allStats(state, ({ name }) => names.has(name) || includesStat(name)),
    state.clusters().map(statNameOf),
  );
}

function allStats(state: ProxyState, accepts: StatsQuestion["accepts"]): StatValue[] {
  return state.counterReset
    .shown(countedStats(state))
    .filter(accepts)
    .sort((a, b) => order(a) - order(b) || (a.name < b.name ? -1 : 1));
}

function order({ kind }: StatValue): number {
  return kind === "histogram" ? 1 : 0;
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
