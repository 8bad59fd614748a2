// Envoy's statistics by dotted name, as `/stats` shows them. A counter is looked up once, when its owner is made, and
// kept: counting is then one addition.

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
  readonly kind: "counter" | "gauge";
  readonly value: number;
}

export class Stats {
  readonly #counters = new Map<string, Counter>();
  readonly #gauges = new Map<string, Gauge>();

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

  /** All values as they are now. */
  values(): StatValue[] {
    return [
      ...[...this.#counters].map(([name, { value }]): StatValue => ({ name, kind: "counter", value })),
      ...[...this.#gauges].map(([name, { value }]): StatValue => ({ name, kind: "gauge", value })),
    ];
  }
}
