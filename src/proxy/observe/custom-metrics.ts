// HOT: per request, where a configuration changes labels. Series with labels that are not the standard ones: each metric
// has rows of its own, because each may have other labels.
import type { LabelChange, MetricRules, MetricValues, StandardMetric } from "../config/metric-rules.ts";
import { type Label, renderLabels } from "./labels.ts";
import { CounterColumn, HistogramColumn, LabelRows } from "./series-table.ts";

/** Bound on label sets of one metric. */
const maxRows = 10_000;

/** What one report adds to its metrics. */
export type MetricAmounts = readonly (readonly [metric: StandardMetric, amount: number])[];

interface Family {
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
  readonly #families = new Map<StandardMetric, Family>();

  /** Adds to every metric whose labels are changed, and gives the others back. */
  report(rules: MetricRules, amounts: MetricAmounts, labels: readonly Label[], values: MetricValues): MetricAmounts {
    return amounts.filter(([metric, amount]) => {
      const changes = rules.changes?.get(metric) ?? [];
      if (changes.length === 0) return true;
      const changed = changedLabels(labels, changes, values);
      if (changed !== null) this.#add(metric, renderLabels(changed), amount);
      return false;
    });
  }

  #add(metric: StandardMetric, labels: string, amount: number): void {
    let family = this.#families.get(metric);
    if (family === undefined) {
      family = { rows: new LabelRows(maxRows), counts: new CounterColumn(), histogram: new HistogramColumn() };
      this.#families.set(metric, family);
    }
    const row = family.rows.row(labels);
    if (row < 0) return;
    if (isHistogram.has(metric)) family.histogram.observe(row, amount);
    else family.counts.add(row, amount);
  }

  /** Puts the series behind the standard ones of the same metric. */
  expose(metric: StandardMetric, standard: string): string {
    const family = this.#families.get(metric);
    if (family === undefined) return standard;
    const column = isHistogram.has(metric) ? family.histogram : family.counts;
    const own = column.expose(`istio_${metric}`, family.rows);
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
