// The metrics of the push pipeline, by Istio's names.
import type {
  Counter,
  CounterSeries,
  Gauge,
  Histogram,
  HistogramSeries,
  MetricRegistry,
} from "#base/metrics/registry.ts";

export interface PushMetrics {
  readonly connected: Gauge;
  /** By type: `cds`, `eds`, `lds`, `rds`, and `<type>_senderr`. */
  readonly pushes: Counter;
  readonly rejects: Readonly<Record<string, CounterSeries>>;
  readonly totalRejects: CounterSeries;
  readonly expiredNonces: Counter;
  readonly internalErrors: CounterSeries;
  readonly convergence: HistogramSeries;
  readonly configBytes: Histogram;
  readonly compileSeconds: HistogramSeries;
  readonly snapshotSeconds: HistogramSeries;
  readonly debounceSeconds: HistogramSeries;
  readonly inboundUpdates: Counter;
  readonly pushTriggers: Counter;
  readonly services: Gauge;
  readonly virtualServices: Gauge;
  readonly rejectedConfigs: Gauge;
}

const secondsUpTo30 = [0.01, 0.05, 0.1, 0.25, 0.5, 1, 3, 5, 10, 20, 30];

export function createPushMetrics(metrics: MetricRegistry): PushMetrics {
  const histogram = (name: string, help: string): HistogramSeries =>
    metrics.histogram(name, help, [], secondsUpTo30).labels();
  const reject = (type: string): CounterSeries =>
    metrics.counter(`pilot_xds_${type}_reject`, `Responses of ${type.toUpperCase()} that proxies rejected.`).labels();
  return {
    connected: metrics.gauge("pilot_xds", "Proxies connected by xDS.", ["version"]),
    pushes: metrics.counter("pilot_xds_pushes", "Responses sent, by type.", ["type"]),
    rejects: { cds: reject("cds"), eds: reject("eds"), lds: reject("lds"), rds: reject("rds") },
    totalRejects: metrics.counter("pilot_total_xds_rejects", "Responses that proxies rejected.").labels(),
    expiredNonces: metrics.counter("pilot_xds_expired_nonce", "Requests that answered an older response.", ["type"]),
    internalErrors: metrics.counter("pilot_total_xds_internal_errors", "Compilations that failed.").labels(),
    convergence: histogram("pilot_proxy_convergence_time", "Seconds from a change to a proxy's ACK of it."),
    configBytes: metrics.histogram(
      "pilot_xds_config_size_bytes",
      "Size of responses.",
      ["type"],
      [1, 10_000, 1_000_000, 4_000_000, 10_000_000, 40_000_000],
    ),
    compileSeconds: histogram("pilot_xds_push_time", "Seconds to compile one proxy's configuration."),
    snapshotSeconds: histogram("pilot_pushcontext_init_seconds", "Seconds to build a snapshot."),
    debounceSeconds: histogram("pilot_debounce_time", "Seconds that changes were collected before a push."),
    inboundUpdates: metrics.counter("pilot_inbound_updates", "Changes received, by kind of change.", ["type"]),
    pushTriggers: metrics.counter("pilot_push_triggers", "Pushes started, by cause.", ["type"]),
    services: metrics.gauge("pilot_services", "Services known."),
    virtualServices: metrics.gauge("pilot_virt_services", "VirtualServices known."),
    rejectedConfigs: metrics.gauge("pilot_total_rejected_configs", "Objects that are invalid."),
  };
}
