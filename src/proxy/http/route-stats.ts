// HOT: per request, of routes with a `stat_prefix` only. What they count, by Envoy's names
// (`vhost.<virtual host>.route.<prefix>.upstream_rq_*`).
import type { RouteDecision } from "../decide/route.ts";
import type { Histogram } from "../stats/histogram.ts";
import type { Counter, Stats } from "../stats/stats.ts";

/** What became of a request. */
interface RouteOutcome {
  /** 0: there was no answer. */
  readonly status: number;
  /** Tries that were made, the first one among them. */
  readonly attempts: number;
  readonly timedOut: boolean;
  /** A further try would have been one too many. */
  readonly exhausted: boolean;
  readonly durationMs: number;
}

export class RouteStats {
  readonly #stats: Stats;
  readonly #prefix: string;
  readonly #total: Counter;
  readonly #completed: Counter;
  readonly #retries: Counter;
  readonly #exhausted: Counter;
  readonly #timeouts: Counter;
  readonly #times: Histogram;

  constructor(stats: Stats, { route, virtualHost }: RouteDecision) {
    this.#stats = stats;
    this.#prefix = `vhost.${statName(virtualHost.name)}.route.${statName(route.statPrefix)}.upstream_rq_`;
    this.#total = stats.counter(`${this.#prefix}total`);
    this.#completed = stats.counter(`${this.#prefix}completed`);
    this.#retries = stats.counter(`${this.#prefix}retry`);
    this.#exhausted = stats.counter(`${this.#prefix}retry_limit_exceeded`);
    this.#timeouts = stats.counter(`${this.#prefix}timeout`);
    this.#times = stats.histogram(`${this.#prefix}time`);
  }

  count({ status, attempts, timedOut, exhausted, durationMs }: RouteOutcome, now: number): void {
    this.#total.value += attempts;
    this.#retries.value += attempts - 1;
    if (exhausted) this.#exhausted.value++;
    if (timedOut) this.#timeouts.value++;
    if (status === 0) return;
    this.#completed.value++;
    this.#stats.counter(`${this.#prefix}${Math.trunc(status / 100)}xx`).value++;
    this.#stats.counter(`${this.#prefix}${status}`).value++;
    this.#times.record(durationMs, now);
  }
}

/** Envoy separates the parts of names by dots, and writes no colon in one. */
function statName(name: string): string {
  return name.replaceAll(":", "_");
}
