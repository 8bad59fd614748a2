// HOT: per request. What the connection managers of one `stat_prefix` count, by Envoy's names (`http.<prefix>.*`). Made
// with their first connection: most listeners of a sidecar never have one.
import type { Histogram } from "../stats/histogram.ts";
import type { Counter, Gauge, Stats } from "../stats/stats.ts";

export class ManagerStats {
  readonly #connections: Counter;
  readonly #activeConnections: Gauge;
  readonly #connectionTimes: Histogram;
  readonly #requests: Counter;
  readonly #http1Requests: Counter;
  readonly #http2Requests: Counter;
  readonly #activeRequests: Gauge;
  readonly #completed: Counter;
  /** By the first digit of the status. */
  readonly #classes: readonly Counter[];
  readonly #requestTimes: Histogram;

  constructor(stats: Stats, statPrefix: string) {
    const prefix = `http.${statPrefix}.downstream_`;
    this.#connections = stats.counter(`${prefix}cx_total`);
    this.#activeConnections = stats.gauge(`${prefix}cx_active`);
    this.#connectionTimes = stats.histogram(`${prefix}cx_length_ms`);
    this.#requests = stats.counter(`${prefix}rq_total`);
    this.#http1Requests = stats.counter(`${prefix}rq_http1_total`);
    this.#http2Requests = stats.counter(`${prefix}rq_http2_total`);
    this.#activeRequests = stats.gauge(`${prefix}rq_active`);
    this.#completed = stats.counter(`${prefix}rq_completed`);
    this.#classes = [1, 2, 3, 4, 5].map((digit) => stats.counter(`${prefix}rq_${digit}xx`));
    this.#requestTimes = stats.histogram(`${prefix}rq_time`);
  }

  connectionBegan(): void {
    this.#connections.value++;
    this.#activeConnections.value++;
  }

  connectionEnded(beganMs: number, now: number): void {
    this.#activeConnections.value--;
    this.#connectionTimes.record(now - beganMs, now);
  }

  requestBegan(): void {
    this.#requests.value++;
    this.#activeRequests.value++;
  }

  /** `status` 0: there was no answer. */
  requestEnded(isHttp2: boolean, status: number, durationMs: number, now: number): void {
    this.#activeRequests.value--;
    (isHttp2 ? this.#http2Requests : this.#http1Requests).value++;
    if (status === 0) return;
    this.#completed.value++;
    const counter = this.#classes[Math.trunc(status / 100) - 1];
    if (counter !== undefined) counter.value++;
    this.#requestTimes.record(durationMs, now);
  }
}
