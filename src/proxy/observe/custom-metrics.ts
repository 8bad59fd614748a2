// HOT: per request, where a configuration changes labels. Series with labels that are not the standard ones: each metric
// has rows of its own, because each may have other labels.
import type {
  LabelChange,
  MetricDefinition,
  MetricRules,
  MetricValues,
  StandardMetric,
} from "../config/metric-rules.ts";
import { type Label, renderLabels } from "./labels.ts";
import { CounterColumn, type HistogramBounds, HistogramColumn, LabelRows } from "./series-table.ts";

/** Bound on label sets of one metric. */
const maxRows = 10_000;

/** Metrics of all configurations that this process has seen. */
const maxDefined = 256;

/** What one report adds to its metrics. */
export type MetricAmounts = readonly (readonly [metric: StandardMetric, amount: number])[];

interface Family {
  readonly type: MetricDefinition["type"];
  readonly rows: LabelRows;
  readonly counts: CounterColumn;
  readonly histogram: HistogramColumn;
}

const isHistogram: ReadonlySet<StandardMetric> = new Set<StandardMetric>([
  "request_duration_milliseconds",
  "request_bytes",
  "response_bytes",
]);

export class CustomMetrics {
  readonly #families = new Map<string, Family>();
  /** Of metrics that are not Istio's. */
  readonly #defined = new Set<string>();
  readonly #bounds: HistogramBounds;

  constructor(bounds: HistogramBounds) {
    this.#bounds = bounds;
  }

  /** Adds to every metric whose labels are changed, and gives the others back. */
  report(rules: MetricRules, amounts: MetricAmounts, labels: readonly Label[], values: MetricValues): MetricAmounts {
    return amounts.filter(([metric, amount]) => {
      const changes = rules.changes?.get(metric) ?? [];
      if (changes.length === 0) return true;
      const changed = changedLabels(labels, changes, values);
      if (changed !== null) this.#add(metric, isHistogram.has(metric) ? "histogram" : "counter", changed, amount);
      return false;
    });
  }

  /** Adds to the metrics that the configuration defines. */
  reportDefined(rules: MetricRules, labels: readonly Label[], values: MetricValues): void {
    for (const { name, type, amount } of rules.definitions) {
      const number = amount(values);
      const changed = number === null ? null : changedLabels(labels, rules.changes?.get(name) ?? [], values);
      if (number === null || changed === null) continue;
      if (!this.#defined.has(name)) {
        if (this.#defined.size >= maxDefined) continue;
        this.#defined.add(name);
      }
      this.#add(name, type, changed, number);
    }
  }

  #add(metric: string, type: MetricDefinition["type"], labels: readonly Label[], amount: number): void {
    let family = this.#families.get(metric);
    if (family === undefined) {
      const histogram = new HistogramColumn(this.#bounds(metric));
      family = { type, rows: new LabelRows(maxRows), counts: new CounterColumn(), histogram };
      this.#families.set(metric, family);
    }
    const row = family.rows.row(renderLabels(labels));
    if (row < 0) return;
    if (family.type === "histogram") family.histogram.observe(row, amount);
    else if (family.type === "gauge") family.counts.set(row, amount);
    else family.counts.add(row, amount);
  }

  exposeDefined(): string {
    return [...this.#defined].map((name) => this.expose(name, "")).join("");
  }

  /** Puts the series behind the standard ones of the same metric. */
  expose(metric: string, standard: string): string {
    const family = this.#families.get(metric);
    if (family === undefined) return standard;
    const name = `istio_${metric}`;
    const own =
      family.type === "histogram"
        ? family.histogram.expose(name, family.rows)
        : family.counts.expose(name, family.rows, family.type);
    return standard === "" ? own : standard + own.slice(own.indexOf("\n") + 1);
  }
}

/** The labels of a metric after the changes; null: it is dropped. */
function changedLabels(
  labels: readonly Label[],
  changes: readonly LabelChange[],
  values: MetricValues,
): Label[] | null {
  const result = new Map(labels);
  for (const change of changes) {
    if (change.applies !== null && !change.applies(values)) continue;
    if (change.drops) return null;
    for (const name of change.removed) result.delete(name);
    for (const { label, valueOf } of change.values) result.set(label, valueOf(values));
  }
  return [...result];
}
