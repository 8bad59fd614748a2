// Envoy's statistics by dotted name, as `/stats` shows them. A counter is looked up once, when its owner is made, and
// kept: counting is then one addition.

import { countOf, Histogram, type HistogramValue } from "./histogram.ts";

export class Counter {
  value = 0;

  add(by = 1): void {
    this.value += by;
  }
}

export class Gauge {
  value = 0;

  set(value: number): void {
    this.value = value;
  }

  add(by: number): void {
    this.value += by;
  }
}

export interface StatValue {
  readonly name: string;
  readonly kind: "counter" | "gauge" | "histogram";
  /** Of a histogram: how often something was recorded. */
  readonly value: number;
  /** Null: nothing was recorded. Absent: it is no histogram. */
  readonly histogram?: HistogramValue | null;
}

export function histogramStat(name: string, histogram: HistogramValue | null): StatValue {
  return { name, kind: "histogram", value: histogram === null ? 0 : countOf(histogram.total), histogram };
}

export class Stats {
  readonly #counters = new Map<string, Counter>();
  readonly #gauges = new Map<string, Gauge>();
  readonly #histograms = new Map<string, Histogram>();
  readonly #sources: (() => readonly StatValue[])[] = [];

  /** Adds statistics that somebody else counts. */
  addSource(values: () => readonly StatValue[]): void {
    this.#sources.push(values);
  }

  /** The counter of that name; made when it is new. Owners with the same name share it. */
  counter(name: string): Counter {
    let counter = this.#counters.get(name);
    if (counter === undefined) {
      counter = new Counter();
      this.#counters.set(name, counter);
    }
    return counter;
  }

  gauge(name: string): Gauge {
    let gauge = this.#gauges.get(name);
    if (gauge === undefined) {
      gauge = new Gauge();
      this.#gauges.set(name, gauge);
    }
    return gauge;
  }

  histogram(name: string): Histogram {
    let histogram = this.#histograms.get(name);
    if (histogram === undefined) {
      histogram = new Histogram();
      this.#histograms.set(name, histogram);
    }
    return histogram;
  }

  /** All values as they are now, in milliseconds since 1970. */
  values(now: number = Date.now()): StatValue[] {
    return [
      ...[...this.#counters].map(([name, { value }]): StatValue => ({ name, kind: "counter", value })),
      ...[...this.#gauges].map(([name, { value }]): StatValue => ({ name, kind: "gauge", value })),
      ...[...this.#histograms].map(([name, histogram]) => histogramStat(name, histogram.value(now))),
      ...this.#sources.flatMap((values) => values()),
    ];
  }
}
