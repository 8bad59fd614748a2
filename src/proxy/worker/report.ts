// What one event loop has counted, as plain data, and the sum of such reports for the admin API: the main thread's own
// descriptions with the numbers of the workers added.
import type { ListenerDescription } from "../listener/listener-manager.ts";
import type { CodecCounters } from "../stats/codec-stats.ts";
import { addedHistograms, type HistogramValue } from "../stats/histogram.ts";
import type { InboundCaller } from "../stats/inbound-traffic.ts";
import { histogramStat, type StatValue } from "../stats/stats.ts";
import type { ClusterDescription, EndpointDescription } from "../upstream/cluster-description.ts";
import type { OutlierCounters } from "../upstream/outlier/outlier-counters.ts";

type Numbers = Readonly<Record<string, number>>;

export interface WorkerReport {
  readonly connections: number;
  readonly clusters: ReadonlyMap<string, ClusterNumbers>;
  readonly listeners: ReadonlyMap<string, ListenerNumbers>;
  readonly stats: readonly StatValue[];
  /** Prometheus text of the traffic metrics. */
  readonly metrics: string;
  readonly callers: readonly InboundCaller[];
}

interface ClusterNumbers {
  readonly counters: Numbers;
  readonly statuses: Uint32Array | null;
  readonly times: ClusterDescription["times"];
  readonly codecs: CodecCounters | null;
  readonly balancer: Numbers;
  readonly breakers: readonly Numbers[];
  readonly outliers: OutlierCounters | null;
  /** By address. */
  readonly endpoints: ReadonlyMap<string, Numbers>;
}

interface ListenerNumbers {
  readonly activeConnections: number;
  readonly counters: Numbers;
  readonly connectionTimes: HistogramValue | null;
}

const endpointTotals = [
  "activeRequests",
  "activeConnections",
  "connectionsTotal",
  "connectFailures",
  "requestsTotal",
  "requestErrors",
  "requestTimeouts",
  "ejections",
] as const satisfies readonly (keyof EndpointDescription)[];

export interface ReportSource {
  readonly connectionCount: number;
  readonly clusters: readonly ClusterDescription[];
  readonly listeners: readonly ListenerDescription[];
  readonly stats: readonly StatValue[];
  readonly metrics: string;
  readonly callers: readonly InboundCaller[];
}

export function reportOf(source: ReportSource): WorkerReport {
  return {
    connections: source.connectionCount,
    clusters: new Map(source.clusters.map((cluster) => [cluster.name, clusterNumbers(cluster)])),
    listeners: new Map(
      source.listeners.map(({ name, activeConnections, connectionTimes, counters }) => [
        name,
        { activeConnections, connectionTimes, counters: numbersOf(counters) },
      ]),
    ),
    stats: source.stats,
    metrics: source.metrics,
    callers: source.callers,
  };
}

function clusterNumbers(cluster: ClusterDescription): ClusterNumbers {
  return {
    counters: numbersOf(cluster.counters),
    statuses: cluster.counters.statuses,
    times: cluster.times,
    codecs: cluster.codecs,
    balancer: numbersOf(cluster.balancer),
    breakers: cluster.breakers.map(numbersOf),
    outliers: cluster.outliers?.counters ?? null,
    endpoints: new Map(
      cluster.endpoints.map((endpoint) => [
        endpoint.config.key,
        Object.fromEntries(endpointTotals.map((name) => [name, endpoint[name]])),
      ]),
    ),
  };
}

function numbersOf(counters: object): Numbers {
  return Object.fromEntries(
    Object.entries(counters).filter((entry): entry is [string, number] => typeof entry[1] === "number"),
  );
}

/** The own descriptions with what the workers counted. */
export function sumClusters(
  own: readonly ClusterDescription[],
  reports: readonly WorkerReport[],
): ClusterDescription[] {
  return own.map((cluster) => {
    const others = reports.flatMap((report) => report.clusters.get(cluster.name) ?? []);
    return others.length === 0 ? cluster : others.reduce(addCluster, cluster);
  });
}

function addCluster(cluster: ClusterDescription, other: ClusterNumbers): ClusterDescription {
  const { counters, times, balancer, breakers, outliers, endpoints } = cluster;
  return {
    ...cluster,
    counters: { ...added(counters, other.counters), statuses: addedStatuses(counters.statuses, other.statuses) },
    times: {
      requests: addedTimes(times.requests, other.times.requests),
      connects: addedTimes(times.connects, other.times.connects),
      connections: addedTimes(times.connections, other.times.connections),
    },
    codecs: addedCodecs(cluster.codecs, other.codecs),
    balancer: added(balancer, other.balancer),
    breakers: breakers.map((breaker, i) => added(breaker, other.breakers[i] ?? {})),
    outliers: outliers && { ...outliers, counters: addedOutliers(outliers.counters, other.outliers) },
    endpoints: endpoints.map((endpoint) => added(endpoint, other.endpoints.get(endpoint.config.key) ?? {})),
  };
}

/** A copy with the numbers of the other added to those of the same name. Getters and methods stay reachable. */
function added<T extends object>(own: T, other: Numbers): T {
  const sum = Object.create(own) as T;
  for (const [name, value] of Object.entries(own)) {
    const more = other[name];
    Reflect.defineProperty(sum, name, {
      value: typeof value === "number" && more !== undefined ? value + more : value,
      enumerable: true,
    });
  }
  return sum;
}

function addedTimes(own: HistogramValue | null, other: HistogramValue | null): HistogramValue | null {
  return own === null || other === null ? (own ?? other) : addedHistograms(own, other);
}

function addedCodecs(own: CodecCounters | null, other: CodecCounters | null): CodecCounters | null {
  if (own === null || other === null) return own ?? other;
  return { http1: added(own.http1, numbersOf(other.http1)), http2: added(own.http2, numbersOf(other.http2)) };
}

/** What one thread ejects is out in all of them. */
function addedOutliers(own: OutlierCounters, other: OutlierCounters | null): OutlierCounters {
  if (other === null) return own;
  return {
    ejectionsActive: Math.max(own.ejectionsActive, other.ejectionsActive),
    ejectionsOverflow: own.ejectionsOverflow + other.ejectionsOverflow,
    detected: added(own.detected, other.detected),
    enforced: added(own.enforced, other.enforced),
  };
}

function addedStatuses(own: Uint32Array | null, other: Uint32Array | null): Uint32Array | null {
  if (own === null || other === null) return own ?? other;
  return own.map((value, i) => value + (other[i] ?? 0));
}

export function sumListeners(
  own: readonly ListenerDescription[],
  reports: readonly WorkerReport[],
): ListenerDescription[] {
  return own.map((listener) => {
    let sum = listener;
    for (const report of reports) {
      const other = report.listeners.get(listener.name);
      if (other === undefined) continue;
      const counters = added(sum.counters, other.counters);
      const activeConnections = sum.activeConnections + other.activeConnections;
      const connectionTimes = addedTimes(sum.connectionTimes, other.connectionTimes);
      sum = { ...sum, activeConnections, connectionTimes, counters, connectionsTotal: counters.connectionsTotal };
    }
    return sum;
  });
}

export function sumStats(own: readonly StatValue[], reports: readonly WorkerReport[]): StatValue[] {
  const byName = new Map(own.map((stat) => [stat.name, stat]));
  for (const { stats } of reports) {
    for (const stat of stats) {
      const before = byName.get(stat.name);
      byName.set(stat.name, before === undefined ? stat : combined(before, stat));
    }
  }
  return [...byName.values()];
}

/** What a thread says of its own state is no number to add: the worst of them counts. */
function combined(own: StatValue, other: StatValue): StatValue {
  const { name, value } = own;
  if (own.kind === "histogram") return histogramStat(name, addedTimes(own.histogram ?? null, other.histogram ?? null));
  return { ...own, value: name.startsWith("overload.") ? Math.max(value, other.value) : value + other.value };
}

/** One Prometheus text out of several: series of one name and one set of labels are added. */
export function sumMetrics(texts: readonly string[]): string {
  const [only = ""] = texts;
  if (texts.length <= 1) return only;
  const families = new Map<string, Map<string, number>>();
  for (const text of texts) {
    let series = new Map<string, number>();
    for (const line of text.split("\n")) {
      if (line.startsWith("# TYPE ")) {
        series = families.get(line) ?? new Map<string, number>();
        families.set(line, series);
      } else if (line !== "" && !line.startsWith("#")) {
        const space = line.lastIndexOf(" ");
        const name = line.slice(0, space);
        series.set(name, (series.get(name) ?? 0) + Number(line.slice(space + 1)));
      }
    }
  }
  let text = "";
  for (const [type, series] of families) {
    text += `${type}\n`;
    for (const [name, value] of series) text += `${name} ${value}\n`;
  }
  return text;
}
