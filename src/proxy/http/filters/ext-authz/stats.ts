// Counters of an external authorization filter, and of the clusters that its requests were for.
import type { Counter, Stats } from "../../../stats/stats.ts";

export class ExtAuthzStats {
  readonly ok: Counter;
  readonly denied: Counter;
  readonly error: Counter;
  readonly timeout: Counter;
  readonly disabled: Counter;
  readonly failureModeAllowed: Counter;
  readonly invalid: Counter;
  readonly ignoredMetadata: Counter;
  readonly #stats: Stats;
  readonly #atClusters = new Map<string, Map<string, Counter>>();

  constructor(stats: Stats, prefix: string) {
    this.#stats = stats;
    this.ok = stats.counter(`${prefix}ok`);
    this.denied = stats.counter(`${prefix}denied`);
    this.error = stats.counter(`${prefix}error`);
    this.timeout = stats.counter(`${prefix}timeout`);
    this.disabled = stats.counter(`${prefix}disabled`);
    this.failureModeAllowed = stats.counter(`${prefix}failure_mode_allowed`);
    this.invalid = stats.counter(`${prefix}invalid`);
    this.ignoredMetadata = stats.counter(`${prefix}ignored_dynamic_metadata`);
  }

  atCluster(cluster: string, name: string): void {
    let counters = this.#atClusters.get(cluster);
    if (counters === undefined) {
      counters = new Map();
      this.#atClusters.set(cluster, counters);
    }
    let counter = counters.get(name);
    if (counter === undefined) {
      counter = this.#stats.counter(`cluster.${cluster}.${name}`);
      counters.set(name, counter);
    }
    counter.add();
  }
}
