// A small Prometheus registry: counters, gauges and histograms with labels, and the text exposition format 0.0.4.
// Resolve a series once (`counter.labels("200")`) and keep it: incrementing it is then one addition, without a lookup.
// Format: https://prometheus.io/docs/instrumenting/exposition_formats/

/** One counter series; only grows. */
export class CounterSeries {
  value = 0;

  increment(by = 1): void {
    this.value += by;
  }
}

/** One gauge series. */
class GaugeSeries {
  value = 0;

  set(value: number): void {
    this.value = value;
  }

  add(by: number): void {
    this.value += by;
  }
}

/** One histogram series. `bounds` are the upper bounds, ascending, without +Inf. */
export class HistogramSeries {
  readonly bounds: Float64Array;
  /** Not cumulative; the last one counts what is above every bound. */
  readonly counts: Float64Array;
  sum = 0;
  count = 0;

  constructor(bounds: Float64Array) {
    this.bounds = bounds;
    this.counts = new Float64Array(bounds.length + 1);
  }

  observe(value: number): void {
    let low = 0;
    let high = this.bounds.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.bounds[middle] as number) < value) low = middle + 1;
      else high = middle;
    }
    this.counts[low] = (this.counts[low] as number) + 1;
    this.sum += value;
    this.count += 1;
  }
}

type Series = CounterSeries | GaugeSeries | HistogramSeries;

/** All series of one metric name. */
export class MetricFamily<S extends Series> {
  readonly name: string;
  readonly help: string;
  readonly kind: "counter" | "gauge" | "histogram";
  readonly labelNames: readonly string[];
  readonly #create: () => S;
  readonly #series = new Map<string, { readonly values: readonly string[]; readonly series: S }>();

  constructor(
    name: string,
    help: string,
    kind: "counter" | "gauge" | "histogram",
    labelNames: readonly string[],
    create: () => S,
  ) {
    this.name = name;
    this.help = help;
    this.kind = kind;
    this.labelNames = labelNames;
    this.#create = create;
  }

  /** The series with these label values, in the order of `labelNames`; made when it is new. */
  labels(...values: readonly string[]): S {
    const key = values.join("\u0000");
    let entry = this.#series.get(key);
    if (entry === undefined) {
      entry = { values: [...values], series: this.#create() };
      this.#series.set(key, entry);
    }
    return entry.series;
  }

  /** Forgets one series, for example of a peer that is gone. */
  remove(...values: readonly string[]): void {
    this.#series.delete(values.join("\u0000"));
  }

  clear(): void {
    this.#series.clear();
  }

  *entries(): IterableIterator<{ readonly values: readonly string[]; readonly series: S }> {
    yield* this.#series.values();
  }
}

export type Counter = MetricFamily<CounterSeries>;
export type Gauge = MetricFamily<GaugeSeries>;
export type Histogram = MetricFamily<HistogramSeries>;

/** Envoy's default bounds for durations in milliseconds. */
export const millisecondBounds: readonly number[] = [
  0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000, 600000, 1800000, 3600000,
];

/** Bounds for durations in seconds, as the Prometheus clients have them. */
const secondBounds: readonly number[] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** Holds the metrics of one process. Asking twice for a name returns the same family. */
export class MetricRegistry {
  readonly #families = new Map<string, MetricFamily<Series>>();
  readonly #collectors = new Set<() => void>();

  counter(name: string, help: string, labelNames: readonly string[] = []): Counter {
    return this.#family(name, help, "counter", labelNames, () => new CounterSeries());
  }

  gauge(name: string, help: string, labelNames: readonly string[] = []): Gauge {
    return this.#family(name, help, "gauge", labelNames, () => new GaugeSeries());
  }

  histogram(
    name: string,
    help: string,
    labelNames: readonly string[] = [],
    bounds: readonly number[] = secondBounds,
  ): Histogram {
    const shared = Float64Array.from(bounds);
    return this.#family(name, help, "histogram", labelNames, () => new HistogramSeries(shared));
  }

  /** Calls back before each exposition, to bring gauges up to date; the returned function ends that. */
  onCollect(collect: () => void): () => void {
    this.#collectors.add(collect);
    return () => this.#collectors.delete(collect);
  }

  families(): Iterable<MetricFamily<Series>> {
    return this.#families.values();
  }

  /** The whole registry in the text format, families and their series in order of creation. */
  expose(): string {
    for (const collect of this.#collectors) collect();
    let text = "";
    for (const family of this.#families.values()) text += exposeFamily(family);
    return text;
  }

  #family<S extends Series>(
    name: string,
    help: string,
    kind: "counter" | "gauge" | "histogram",
    labelNames: readonly string[],
    create: () => S,
  ): MetricFamily<S> {
    let family = this.#families.get(name);
    if (family === undefined) {
      family = new MetricFamily<Series>(name, help, kind, labelNames, create);
      this.#families.set(name, family);
    }
    return family as MetricFamily<S>;
  }
}

export const textContentType = "text/plain; version=0.0.4; charset=utf-8";

function exposeFamily(family: MetricFamily<Series>): string {
  let text = "";
  for (const { values, series } of family.entries()) {
    const labels = family.labelNames.map((name, index) => `${name}="${escapeLabel(values[index] ?? "")}"`).join(",");
    text +=
      series instanceof HistogramSeries
        ? exposeHistogram(family.name, labels, series)
        : `${family.name}${labels === "" ? "" : `{${labels}}`} ${formatNumber(series.value)}\n`;
  }
  if (text === "") return "";
  const help = family.help.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
  return `# HELP ${family.name} ${help}\n# TYPE ${family.name} ${family.kind}\n${text}`;
}

function exposeHistogram(name: string, labels: string, series: HistogramSeries): string {
  const prefix = labels === "" ? "" : `${labels},`;
  let text = "";
  let cumulative = 0;
  for (let index = 0; index < series.counts.length; index++) {
    cumulative += series.counts[index] ?? 0;
    const bound = series.bounds[index];
    text += `${name}_bucket{${prefix}le="${bound === undefined ? "+Inf" : formatNumber(bound)}"} ${cumulative}\n`;
  }
  const braces = labels === "" ? "" : `{${labels}}`;
  return `${text}${name}_sum${braces} ${formatNumber(series.sum)}\n${name}_count${braces} ${series.count}\n`;
}

function escapeLabel(value: string): string {
  return value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}

function formatNumber(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return "+Inf";
  if (value === Number.NEGATIVE_INFINITY) return "-Inf";
  return String(value);
}
