// Outlier detection of one cluster: takes endpoints out of the balancing for what their traffic shows, and brings them
// back. Consecutive failures act at once; success rates and failure percentages are looked at once per interval, which is
// also when ejections end. Rules and names are Envoy's:
// https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/outlier
import type { Logger } from "#base/log/log.ts";
import type { OutlierDetectionConfig } from "../../config/outlier-detection.ts";
import type { EventLoop } from "../../transport/event-loop.ts";
import { FAILED_OUTLIER_CHECK } from "../balance/host.ts";
import type { UpstreamEndpoint } from "../endpoint.ts";
import type { Ejection, EjectionType } from "./ejection.ts";
import { type OutlierCounters, outlierCounters } from "./outlier-counters.ts";
import { type OutlierJudge, OutlierMonitor, type ResultWindow } from "./outlier-monitor.ts";
import { type SuccessRateLimit, successRateLimit, unknownLimit } from "./success-rate.ts";

export interface OutlierDetectorOptions {
  readonly loop: EventLoop;
  readonly log: Logger;
  readonly clusterName: string;
  readonly config: OutlierDetectionConfig;
  /** An endpoint's flags changed. */
  readonly onChange: (endpoint: UpstreamEndpoint) => void;
  /** This thread ejected an endpoint. */
  readonly onEjected: (endpoint: UpstreamEndpoint, ejection: Ejection) => void;
}

interface Rated {
  readonly endpoint: UpstreamEndpoint;
  readonly monitor: OutlierMonitor;
  readonly rate: number;
}

/** Both kinds of results, with the limits and names that belong to each. */
const origins = [
  { window: "answers", rate: "SUCCESS_RATE", percentage: "FAILURE_PERCENTAGE", of: "requests" },
  {
    window: "connects",
    rate: "SUCCESS_RATE_LOCAL_ORIGIN",
    percentage: "FAILURE_PERCENTAGE_LOCAL_ORIGIN",
    of: "connections and waits",
  },
] as const;

export class OutlierDetector implements OutlierJudge {
  config: OutlierDetectionConfig;
  isWatching = false;
  readonly counters: OutlierCounters = outlierCounters();
  /** Of the last interval. */
  answers: SuccessRateLimit = unknownLimit;
  connects: SuccessRateLimit = unknownLimit;
  readonly #options: OutlierDetectorOptions;
  readonly #monitors = new Map<OutlierMonitor, UpstreamEndpoint>();
  #cancelTimer: (() => void) | null = null;

  constructor(options: OutlierDetectorOptions) {
    this.#options = options;
    this.config = options.config;
  }

  /** Begins to watch an endpoint. */
  add(endpoint: UpstreamEndpoint): void {
    if (endpoint.outlier !== null) return;
    const monitor = new OutlierMonitor(this);
    endpoint.outlier = monitor;
    this.#monitors.set(monitor, endpoint);
  }

  /** Ends watching an endpoint: what was held against it is forgotten. */
  remove(endpoint: UpstreamEndpoint): void {
    const monitor = endpoint.outlier;
    if (monitor === null || !this.#monitors.delete(monitor)) return;
    endpoint.outlier = null;
    endpoint.healthFlags &= ~FAILED_OUTLIER_CHECK;
    if (monitor.ejection !== null) this.counters.ejectionsActive--;
  }

  /** Stops, and brings back whatever is ejected. */
  stop(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = null;
    this.isWatching = false;
    for (const endpoint of this.#monitors.values()) {
      const wasEjected = endpoint.outlier?.ejection != null;
      this.remove(endpoint);
      if (wasEjected) this.#options.onChange(endpoint);
    }
  }

  /** A health check found the endpoint well. */
  onHealthCheckPassed(endpoint: UpstreamEndpoint): void {
    const monitor = endpoint.outlier;
    if (monitor === null || monitor.ejection === null || !this.config.healthCheckUnejects) return;
    this.#bringBack(endpoint, monitor, "a health check succeeded");
  }

  watch(): void {
    this.isWatching = true;
    this.#cancelTimer = this.#options.loop.after(this.config.intervalMs, () => this.#endInterval());
  }

  consecutive(monitor: OutlierMonitor, type: EjectionType, count: number): void {
    const endpoint = this.#monitors.get(monitor);
    // Answers to requests that were on their way when it was ejected change nothing.
    if (endpoint === undefined || monitor.ejection !== null) return;
    this.#detected(endpoint, monitor, type, `${count} ${consecutiveWords[type] ?? "failures in a row"}`);
  }

  #endInterval(): void {
    this.#cancelTimer = null;
    const now = this.#options.loop.clock.now();
    let isNeeded = false;
    for (const [monitor, endpoint] of this.#monitors) {
      if (monitor.ejection !== null) {
        if (now >= monitor.ejection.until) this.#bringBack(endpoint, monitor, "its time is over");
      } else if (monitor.backoff > 0) monitor.backoff--;
      if (monitor.answers.total + monitor.connects.total > 0) isNeeded = true;
    }
    this.#judgeRates();
    for (const monitor of this.#monitors.keys()) {
      if (monitor.ejection !== null || monitor.backoff > 0) isNeeded = true;
      for (const window of [monitor.answers, monitor.connects]) {
        window.total = 0;
        window.successes = 0;
      }
    }
    // Rates that are shown become stale with the next interval, so one more follows the last traffic.
    if (isNeeded) this.watch();
    else this.isWatching = false;
  }

  #judgeRates(): void {
    this.answers = this.#judgeRate(origins[0]);
    this.connects = this.config.splitsLocalOrigin ? this.#judgeRate(origins[1]) : unknownLimit;
  }

  #judgeRate(origin: (typeof origins)[number]): SuccessRateLimit {
    const { config } = this;
    const { successRateRequestVolume, failurePercentageRequestVolume } = config;
    const byRate: Rated[] = [];
    const byPercentage: Rated[] = [];
    for (const [monitor, endpoint] of this.#monitors) {
      const window: ResultWindow = monitor[origin.window];
      window.rate = -1;
      if (monitor.ejection !== null || window.total === 0) continue;
      const rate = (100 * window.successes) / window.total;
      if (window.total >= Math.min(successRateRequestVolume, failurePercentageRequestVolume)) window.rate = rate;
      if (window.total >= successRateRequestVolume) byRate.push({ endpoint, monitor, rate });
      if (window.total >= failurePercentageRequestVolume) byPercentage.push({ endpoint, monitor, rate });
    }
    const limit = this.#ejectByRate(byRate, origin);
    if (byPercentage.length > 0 && byPercentage.length >= config.failurePercentageMinimumHosts) {
      for (const { endpoint, monitor, rate } of byPercentage) {
        if (100 - rate < config.failurePercentageThreshold || monitor.ejection !== null) continue;
        const reason = `${percent(100 - rate)} of its ${origin.of} failed in ${config.intervalMs / 1000} s`;
        this.#detected(endpoint, monitor, origin.percentage, reason);
      }
    }
    return limit;
  }

  #ejectByRate(rated: readonly Rated[], origin: (typeof origins)[number]): SuccessRateLimit {
    const { successRateMinimumHosts, successRateStdevFactor } = this.config;
    if (rated.length === 0 || rated.length < successRateMinimumHosts) return unknownLimit;
    const limit = successRateLimit(
      rated.map((it) => it.rate),
      successRateStdevFactor,
    );
    const { average, threshold } = limit;
    for (const { endpoint, monitor, rate } of rated) {
      if (rate >= threshold) continue;
      const reason = `${percent(rate)} of its ${origin.of} succeeded where the average is ${percent(average)} and ${percent(threshold)} the least`;
      this.#detected(endpoint, monitor, origin.rate, reason);
    }
    return limit;
  }

  #detected(endpoint: UpstreamEndpoint, monitor: OutlierMonitor, type: EjectionType, reason: string): void {
    const { counters, config } = this;
    const { loop, log, clusterName } = this.#options;
    counters.detected[type]++;
    const part = (100 * (counters.ejectionsActive + 1)) / this.#monitors.size;
    const isFirst = counters.ejectionsActive === 0 && config.alwaysEjectsOneHost;
    const { key } = endpoint.config;
    if (part > config.maxEjectionPercent && !isFirst) {
      counters.ejectionsOverflow++;
      log.info(
        `cluster ${clusterName}: ${key} stays although ${reason}: ${percent(part)} of the endpoints would be ejected and ${config.maxEjectionPercent} % may be`,
      );
      return;
    }
    if (loop.random() * 100 >= enforcing(config, type)) {
      log.debug(`cluster ${clusterName}: ${key} would be ejected because ${reason}; it is not enforced`);
      return;
    }
    const now = loop.clock.now();
    if (monitor.backoff * config.baseEjectionMs < config.maxEjectionMs + config.baseEjectionMs) monitor.backoff++;
    const longest = Math.max(config.baseEjectionMs, config.maxEjectionMs);
    const jitter = Math.floor(loop.random() * (config.maxEjectionJitterMs + 1));
    const time = Math.min(config.baseEjectionMs * monitor.backoff, longest) + jitter;
    const ejection: Ejection = { type, reason, since: now, until: now + time };
    monitor.ejections++;
    counters.enforced[type]++;
    this.#eject(endpoint, monitor, ejection);
    log.warn(`cluster ${clusterName}: ${key} is ejected for ${time / 1000} s because ${reason}`, {
      type,
      ejections: monitor.ejections,
    });
    this.#options.onEjected(endpoint, ejection);
  }

  /** Another thread ejected an endpoint: here it is out as well, and comes back by itself. */
  adopt(endpointKey: string, ejection: Ejection): void {
    for (const [monitor, endpoint] of this.#monitors) {
      if (endpoint.config.key !== endpointKey || monitor.ejection !== null) continue;
      monitor.backoff++;
      this.#eject(endpoint, monitor, ejection);
    }
  }

  #eject(endpoint: UpstreamEndpoint, monitor: OutlierMonitor, ejection: Ejection): void {
    monitor.ejection = ejection;
    this.counters.ejectionsActive++;
    endpoint.healthFlags |= FAILED_OUTLIER_CHECK;
    if (!this.isWatching) this.watch();
    this.#options.onChange(endpoint);
  }

  #bringBack(endpoint: UpstreamEndpoint, monitor: OutlierMonitor, why: string): void {
    monitor.ejection = null;
    monitor.forgive();
    this.counters.ejectionsActive--;
    endpoint.healthFlags &= ~FAILED_OUTLIER_CHECK;
    endpoint.usableSince = this.#options.loop.clock.now();
    this.#options.log.info(`cluster ${this.#options.clusterName}: ${endpoint.config.key} is no longer ejected: ${why}`);
    this.#options.onChange(endpoint);
  }
}

const consecutiveWords: Partial<Record<EjectionType, string>> = {
  CONSECUTIVE_5XX: "responses in a row were 5xx",
  CONSECUTIVE_GATEWAY_FAILURE: "responses in a row were 502, 503 or 504",
  CONSECUTIVE_LOCAL_ORIGIN_FAILURE: "attempts in a row found no connection or no answer in time",
};

function enforcing(config: OutlierDetectionConfig, type: EjectionType): number {
  const { enforcing: parts } = config;
  switch (type) {
    case "CONSECUTIVE_5XX":
      return parts.consecutive5xx;
    case "CONSECUTIVE_GATEWAY_FAILURE":
      return parts.consecutiveGatewayFailure;
    case "CONSECUTIVE_LOCAL_ORIGIN_FAILURE":
      return parts.consecutiveLocalOriginFailure;
    case "SUCCESS_RATE":
      return parts.successRate;
    case "SUCCESS_RATE_LOCAL_ORIGIN":
      return parts.localOriginSuccessRate;
    case "FAILURE_PERCENTAGE":
      return parts.failurePercentage;
    case "FAILURE_PERCENTAGE_LOCAL_ORIGIN":
      return parts.localOriginFailurePercentage;
  }
}

function percent(value: number): string {
  return `${Math.round(value)} %`;
}
