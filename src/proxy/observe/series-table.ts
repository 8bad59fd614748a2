// HOT: per request. Series of metrics that share their labels, as columns of numbers: a label set is resolved to a row
// once and counted by row. Rows are never removed; their number is bounded.
import { millisecondBounds } from "#base/metrics/registry.ts";

const initialRows = 16;

export class LabelRows {
  readonly #rowByLabels = new Map<string, number>();
  readonly #labels: string[] = [];
  readonly #maxRows: number;

  constructor(maxRows: number) {
    this.#maxRows = maxRows;
  }

  /** The row of rendered labels; -1 when there are too many. */
  row(labels: string): number {
    let row = this.#rowByLabels.get(labels);
    if (row === undefined) {
      if (this.#labels.length >= this.#maxRows) return -1;
      row = this.#labels.length;
      this.#labels.push(labels);
      this.#rowByLabels.set(labels, row);
    }
    return row;
  }

  get size(): number {
    return this.#labels.length;
  }

  labels(row: number): string {
    return this.#labels[row] ?? "";
  }
}

export class CounterColumn {
  #values: Float64Array = new Float64Array(initialRows);

  add(row: number, by: number): void {
    if (row >= this.#values.length) this.#values = grown(this.#values, row, 1);
    this.#values[row]! += by;
  }

  set(row: number, value: number): void {
    if (row >= this.#values.length) this.#values = grown(this.#values, row, 1);
    this.#values[row] = value;
  }

  value(row: number): number {
    return this.#values[row] ?? 0;
  }

  /** Prometheus text; rows without a count are left out. */
  expose(name: string, rows: LabelRows, type: "counter" | "gauge" = "counter"): string {
    let text = "";
    for (let row = 0; row < rows.size; row++) {
      const value = this.value(row);
      if (value > 0) text += `${name}{${rows.labels(row)}} ${value}\n`;
    }
    return text === "" ? "" : `# TYPE ${name} ${type}\n${text}`;
  }
}

/** Upper bounds of the buckets of a metric, ascending, by its name without `istio_`. */
export type HistogramBounds = (metric: string) => readonly number[];

export const standardBounds: HistogramBounds = () => millisecondBounds;

export class HistogramColumn {
  readonly #bounds: Float64Array;
  /** Buckets, +Inf, sum. */
  readonly #width: number;
  readonly #labels: readonly string[];
  #values: Float64Array;

  constructor(bounds: readonly number[]) {
    this.#bounds = Float64Array.from(bounds);
    this.#width = bounds.length + 2;
    this.#labels = [...bounds.map(String), "+Inf"];
    this.#values = new Float64Array(initialRows * this.#width);
  }

  observe(row: number, value: number): void {
    const width = this.#width;
    const bounds = this.#bounds;
    const start = row * width;
    if (start + width > this.#values.length) this.#values = grown(this.#values, row, width);
    let bucket = 0;
    while (bucket < bounds.length && value > bounds[bucket]!) bucket++;
    this.#values[start + bucket]! += 1;
    this.#values[start + width - 1]! += value;
  }

  /** The sum of what was observed. */
  sum(row: number): number {
    return this.#values[(row + 1) * this.#width - 1] ?? 0;
  }

  expose(name: string, rows: LabelRows): string {
    let text = "";
    for (let row = 0; row < rows.size; row++) {
      const start = row * this.#width;
      let cumulative = 0;
      let buckets = "";
      for (let i = 0; i < this.#labels.length; i++) {
        cumulative += this.#values[start + i] ?? 0;
        buckets += `${name}_bucket{${rows.labels(row)},le="${this.#labels[i]}"} ${cumulative}\n`;
      }
      if (cumulative === 0) continue;
      text += `${buckets}${name}_sum{${rows.labels(row)}} ${this.sum(row)}\n`;
      text += `${name}_count{${rows.labels(row)}} ${cumulative}\n`;
    }
    return text === "" ? "" : `# TYPE ${name} histogram\n${text}`;
  }
}

function grown(values: Float64Array, row: number, perRow: number): Float64Array {
  const next = new Float64Array(Math.max(values.length * 2, (row + 1) * perRow));
  next.set(values);
  return next;
}
