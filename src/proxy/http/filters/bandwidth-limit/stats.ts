// Statistics of one direction of the bandwidth limit, as Envoy names them.
import type { Counter, Gauge, Stats } from "../../../stats/stats.ts";

export class DirectionStats {
  readonly enabled: Counter;
  /** Times that a peer had to wait. */
  readonly enforced: Counter;
  readonly pending: Gauge;
  readonly incomingBytes: Counter;
  readonly allowedBytes: Counter;

  /** `prefix` ends with an underscore. */
  constructor(stats: Stats, prefix: string) {
    this.enabled = stats.counter(`${prefix}enabled`);
    this.enforced = stats.counter(`${prefix}enforced`);
    this.pending = stats.gauge(`${prefix}pending`);
    this.incomingBytes = stats.counter(`${prefix}incoming_total_size`);
    this.allowedBytes = stats.counter(`${prefix}allowed_total_size`);
  }
}
