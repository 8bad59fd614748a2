// Statistics of the fault filter, as Envoy names them.
import type { Headers } from "#wire/http/headers.ts";
import type { Counter, Gauge, Stats } from "../../../stats/stats.ts";
import type { FaultSettings } from "./settings.ts";

/** Clients name their cluster themselves: no more names than this are counted. */
const maxClusters = 100;

export class FaultStats {
  readonly delays: Counter;
  readonly aborts: Counter;
  readonly responseLimits: Counter;
  readonly overflow: Counter;
  readonly active: Gauge;
  readonly #stats: Stats;
  readonly #prefix: string;
  readonly #byCluster = new Map<string, Counter>();

  /** `prefix` ends with a dot. */
  constructor(stats: Stats, prefix: string) {
    this.#stats = stats;
    this.#prefix = prefix;
    this.delays = stats.counter(`${prefix}delays_injected`);
    this.aborts = stats.counter(`${prefix}aborts_injected`);
    this.responseLimits = stats.counter(`${prefix}response_rl_injected`);
    this.overflow = stats.counter(`${prefix}faults_overflow`);
    this.active = stats.gauge(`${prefix}active_faults`);
  }

  /** Counts by the cluster that the client says it belongs to. */
  forCluster({ countsDownstreamClusters }: FaultSettings, headers: Headers, name: string): void {
    if (!countsDownstreamClusters) return;
    const cluster = headers.get("x-envoy-downstream-service-cluster");
    if (cluster === undefined || !/^[\w.-]{1,64}$/.test(cluster)) return;
    const key = `${this.#prefix}${cluster}.${name}`;
    let counter = this.#byCluster.get(key);
    if (counter === undefined) {
      if (this.#byCluster.size >= maxClusters) return;
      counter = this.#stats.counter(key);
      this.#byCluster.set(key, counter);
    }
    counter.add();
  }
}
