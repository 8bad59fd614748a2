// Histograms as `/stats` shows them: percentiles or buckets, in the last interval and since the start, in Envoy's text
// and JSON; and as Prometheus has them.
import { bucketsOf, countOf, countsBelow, type HistogramValue, quantilesOf } from "../stats/histogram.ts";
import type { StatValue } from "../stats/stats.ts";

export const bucketModes = ["none", "cumulative", "disjoint", "detailed"] as const;
export type BucketMode = (typeof bucketModes)[number];

const parts: readonly number[] = [0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 1];
const percentiles: readonly number[] = [0, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 100];
/** Envoy's, in milliseconds. */
const bounds: readonly number[] = [
  0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 300_000, 600_000, 1_800_000,
  3_600_000,
];

/** One statistic's line, or lines where details are asked for. */
export function histogramText({ name, histogram }: StatValue, mode: BucketMode): string {
  if (histogram === undefined || histogram === null) return `${name}: No recorded values\n`;
  const { interval, total } = histogram;
  switch (mode) {
    case "none":
      return `${name}: ${summary(histogram)}\n`;
    case "detailed":
      return `${name}:\n  totals=${details(total)}\n  intervals=${details(interval)}\n  summary=${summary(histogram)}\n`;
    default: {
      const [inInterval, since] = [counts(interval, mode), counts(total, mode)];
      const words = bounds.map((bound, i) => `B${general(bound)}(${inInterval[i]},${since[i]})`);
      return `${name}: ${words.join(" ")}\n`;
    }
  }
}

function summary({ interval, total }: HistogramValue): string {
  const [inInterval, since] = [quantilesOf(interval, parts), quantilesOf(total, parts)];
  const value = (it: number | undefined): string => (Number.isNaN(it) ? "nan" : decimal(it ?? 0));
  return percentiles.map((percent, i) => `P${percent}(${value(inInterval[i])},${value(since[i])})`).join(" ");
}

function details(of: Uint32Array): string {
  return bucketsOf(of)
    .map(({ lowerBound, width, count }) => `${lowerBound},${width}:${count}`)
    .join(", ");
}

function counts(of: Uint32Array, mode: BucketMode): number[] {
  const cumulative = countsBelow(of, bounds);
  return mode === "cumulative" ? cumulative : cumulative.map((count, i) => count - (cumulative[i - 1] ?? 0));
}

/** As C's `%g` writes it: six digits, and an exponent from a million on. */
function general(value: number): string {
  if (value < 1e6) return String(value);
  const [digits, exponent = ""] = value.toExponential().split("e");
  return `${digits}e+${exponent.slice(1).padStart(2, "0")}`;
}

function decimal(value: number): string {
  return String(Number(value.toPrecision(15)));
}

/** The last element of `stats` in JSON, which holds all histograms together; null when there are none. */
export function histogramsJson(stats: readonly StatValue[], mode: BucketMode): unknown {
  const values = stats.flatMap(({ name, histogram }) =>
    histogram === undefined ? [] : [{ name, ...(histogram ?? empty) }],
  );
  if (values.length === 0) return null;
  const quantiles = ({ interval, total }: HistogramValue): unknown => {
    const [inInterval, since] = [quantilesOf(interval, parts), quantilesOf(total, parts)];
    return parts.map((_, i) => ({ cumulative: orNull(since[i]), interval: orNull(inInterval[i]) }));
  };
  switch (mode) {
    case "none":
      return {
        histograms: {
          supported_quantiles: percentiles,
          computed_quantiles: values.map((value) => ({ name: value.name, values: quantiles(value) })),
        },
      };
    case "detailed":
      return {
        histograms: {
          supported_percentiles: percentiles,
          details: values.map((value) => ({
            name: value.name,
            totals: bucketsJson(value.total),
            intervals: bucketsJson(value.interval),
            percentiles: quantiles(value),
          })),
        },
      };
    default:
      return {
        histograms: values.map(({ name, interval, total }) => {
          const [inInterval, since] = [counts(interval, mode), counts(total, mode)];
          const buckets = bounds.map((bound, i) => ({
            upper_bound: bound,
            interval: inInterval[i],
            cumulative: since[i],
          }));
          return { name, buckets };
        }),
      };
  }
}

const empty: HistogramValue = { total: new Uint32Array(0), interval: new Uint32Array(0), sum: 0 };

function bucketsJson(of: Uint32Array): unknown {
  return bucketsOf(of).map(({ lowerBound, width, count }) => ({ lower_bound: lowerBound, width, count }));
}

function orNull(value: number | undefined): number | null {
  return value === undefined || Number.isNaN(value) ? null : value;
}

/** Lines of Prometheus' text format, without the TYPE. `labels` are rendered, or empty. */
export function histogramSeries(name: string, labels: string, histogram: HistogramValue | null): string {
  const { total, sum } = histogram ?? empty;
  const count = countOf(total);
  const below = countsBelow(total, bounds);
  const before = labels === "" ? "" : `${labels},`;
  const buckets = [...bounds.map((bound, i) => [general(bound), below[i]]), ["+Inf", count]];
  const lines = buckets.map(([bound, value]) => `${name}_bucket{${before}le="${bound}"} ${value}\n`);
  return `${lines.join("")}${name}_sum{${labels}} ${sum}\n${name}_count{${labels}} ${count}\n`;
}
