// `/reset_counters`: counters live where they are counted, in every thread, and only grow; what is shown begins at zero
// again from the moment of the reset.
import type { StatValue } from "../stats/stats.ts";

export class CounterReset {
  readonly #before = new Map<string, number>();

  /** From here on these counters show what is added. */
  reset(stats: readonly StatValue[]): void {
    for (const { name, kind, value } of stats) if (kind === "counter") this.#before.set(name, value);
  }

  shown(stats: readonly StatValue[]): StatValue[] {
    if (this.#before.size === 0) return [...stats];
    return stats.map((stat) => {
      const before = stat.kind === "counter" ? this.#before.get(stat.name) : undefined;
      // A thread or a cluster that came new counts from zero: then nothing is taken away.
      return before === undefined || before > stat.value ? stat : { ...stat, value: stat.value - before };
    });
  }
}
