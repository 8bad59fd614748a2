// Metrics that modules define. They are Envoy's statistics under `wasmcustom.`; plugins that name the same metric share
// it.
import type { Histogram } from "../stats/histogram.ts";
import type { Counter, Gauge, Stats } from "../stats/stats.ts";
import { MetricType, Status } from "./abi.ts";
import { wasmLimits } from "./limits.ts";

type CustomMetric =
  | { readonly type: 0; readonly counter: Counter }
  | { readonly type: 1; readonly gauge: Gauge }
  | { readonly type: 2; readonly histogram: Histogram };

export class CustomMetrics {
  readonly #stats: Stats;
  readonly #now: () => number;
  readonly #metrics: CustomMetric[] = [];
  readonly #ids = new Map<string, number>();

  constructor(stats: Stats, now: () => number) {
    this.#stats = stats;
    this.#now = now;
  }

  /** The metric's id; 0 for an unknown type or when there are too many metrics. */
  define(type: number, name: string): number {
    const key = `${type}${name}`;
    const known = this.#ids.get(key);
    if (known !== undefined) return known;
    if (this.#metrics.length >= wasmLimits.maxMetrics) return 0;
    const metric = this.#make(type, `wasmcustom.${name}`);
    if (metric === null) return 0;
    const id = this.#metrics.push(metric);
    this.#ids.set(key, id);
    return id;
  }

  #make(type: number, name: string): CustomMetric | null {
    switch (type) {
      case MetricType.Counter:
        return { type, counter: this.#stats.counter(name) };
      case MetricType.Gauge:
        return { type, gauge: this.#stats.gauge(name) };
      case MetricType.Histogram:
        return { type, histogram: this.#stats.histogram(name) };
      default:
        return null;
    }
  }

  increment(id: number, by: number): Status {
    const metric = this.#metrics[id - 1];
    if (metric === undefined) return Status.NotFound;
    if (metric.type === MetricType.Gauge) metric.gauge.add(by);
    else if (metric.type === MetricType.Counter && by >= 0) metric.counter.add(by);
    else return Status.BadArgument;
    return Status.Ok;
  }

  /** Sets a gauge, adds to a counter, observes in a histogram. */
  record(id: number, value: number): Status {
    const metric = this.#metrics[id - 1];
    if (metric === undefined) return Status.NotFound;
    if (metric.type === MetricType.Gauge) metric.gauge.set(value);
    else if (metric.type === MetricType.Counter) metric.counter.add(value);
    else metric.histogram.record(value, this.#now());
    return Status.Ok;
  }

  /** The value of a counter or gauge; undefined for an unknown metric, null for one that has no value of its own. */
  value(id: number): number | null | undefined {
    const metric = this.#metrics[id - 1];
    if (metric === undefined) return undefined;
    if (metric.type === MetricType.Gauge) return metric.gauge.value;
    return metric.type === MetricType.Counter ? metric.counter.value : null;
  }
}
