// Active health checks of one cluster: asks every endpoint, counts, logs what changes, and tells the cluster.
import type { Logger } from "#base/log/log.ts";
import type { HealthCheckConfig } from "../../config/health-check.ts";
import type { EventLoop } from "../../transport/event-loop.ts";
import {
  ACTIVE_HC_TIMEOUT,
  DEGRADED_ACTIVE_HC,
  EXCLUDED_VIA_IMMEDIATE_HC_FAIL,
  FAILED_ACTIVE_HC,
  PENDING_ACTIVE_HC,
} from "../balance/host.ts";
import type { UpstreamEndpoint } from "../endpoint.ts";
import { HealthSession, type SessionOwner } from "./health-session.ts";
import type { Probe, ProbeAnswer } from "./probe.ts";

export interface HealthCheckerOptions {
  readonly loop: EventLoop;
  readonly log: Logger;
  readonly clusterName: string;
  readonly config: HealthCheckConfig;
  readonly hasTraffic: () => boolean;
  readonly makeProbe: (endpoint: UpstreamEndpoint) => Probe;
  /** An endpoint's flags changed. */
  readonly onChange: (endpoint: UpstreamEndpoint) => void;
  /** A check passed, changed or not. */
  readonly onPassed: (endpoint: UpstreamEndpoint) => void;
  /** No endpoint waits for its first answer any more. */
  readonly onAllAnswered: () => void;
}

export interface HealthCheckCounters {
  attempts: number;
  successes: number;
  failures: number;
  /** Failures that traffic told of. */
  passiveFailures: number;
  networkFailures: number;
  /** Answers of another service. */
  otherServices: number;
}

const activeFlags =
  FAILED_ACTIVE_HC | DEGRADED_ACTIVE_HC | PENDING_ACTIVE_HC | EXCLUDED_VIA_IMMEDIATE_HC_FAIL | ACTIVE_HC_TIMEOUT;

export class HealthChecker implements SessionOwner {
  readonly loop: EventLoop;
  readonly config: HealthCheckConfig;
  readonly counters: HealthCheckCounters = {
    attempts: 0,
    successes: 0,
    failures: 0,
    passiveFailures: 0,
    networkFailures: 0,
    otherServices: 0,
  };
  readonly #options: HealthCheckerOptions;
  readonly #sessions = new Set<HealthSession>();
  #unanswered = 0;

  constructor(options: HealthCheckerOptions) {
    this.#options = options;
    this.loop = options.loop;
    this.config = options.config;
  }

  get hasTraffic(): boolean {
    return this.#options.hasTraffic();
  }

  get isEveryoneAnswered(): boolean {
    return this.#unanswered === 0;
  }

  /** Begins to ask an endpoint. A new one is not used before its first answer. */
  add(endpoint: UpstreamEndpoint, isNew: boolean): void {
    if (endpoint.config.healthCheck?.isDisabled === true) return;
    const session = new HealthSession(this, endpoint, this.#options.makeProbe(endpoint));
    if (isNew) endpoint.healthFlags |= FAILED_ACTIVE_HC | PENDING_ACTIVE_HC;
    endpoint.checks = session;
    this.#sessions.add(session);
    this.#unanswered++;
    session.start();
  }

  remove(endpoint: UpstreamEndpoint): void {
    const session = endpoint.checks;
    if (session === null || !this.#sessions.delete(session)) return;
    endpoint.checks = null;
    endpoint.healthFlags &= ~activeFlags;
    session.stop();
    if (session.isFirst) this.#answeredFirst();
  }

  /** Ends all checks. What they found stays where others follow. */
  stop(isReplaced: boolean): void {
    for (const session of this.#sessions) {
      session.endpoint.checks = null;
      if (!isReplaced) session.endpoint.healthFlags &= ~activeFlags;
      session.stop();
    }
    this.#sessions.clear();
    this.#unanswered = 0;
  }

  onAsked(): void {
    this.counters.attempts++;
  }

  onPassiveFailure(): void {
    this.counters.passiveFailures++;
  }

  onAnswered(session: HealthSession, answer: ProbeAnswer, isChanged: boolean): void {
    const { onChange, onPassed } = this.#options;
    const { endpoint, isFirst } = session;
    const isWell = answer.outcome === "passed" || answer.outcome === "degraded";
    this.#count(answer, isWell);
    this.#log(session, answer, isWell, isChanged);
    if (isChanged) onChange(endpoint);
    if (isWell) onPassed(endpoint);
    if (isFirst) this.#answeredFirst();
  }

  #answeredFirst(): void {
    if (--this.#unanswered === 0) this.#options.onAllAnswered();
  }

  #count(answer: ProbeAnswer, isWell: boolean): void {
    const { counters } = this;
    if (isWell) counters.successes++;
    else counters.failures++;
    if (answer.outcome === "unreachable" || answer.outcome === "timeout") counters.networkFailures++;
    if (answer.isOtherService) counters.otherServices++;
  }

  #log(session: HealthSession, answer: ProbeAnswer, isWell: boolean, isChanged: boolean): void {
    const { log, clusterName } = this.#options;
    const { alwaysLogsFailures, alwaysLogsSuccess } = this.config;
    const { endpoint, isFirst } = session;
    const who = `cluster ${clusterName}: ${endpoint.config.key}`;
    const isOut = (endpoint.healthFlags & FAILED_ACTIVE_HC) !== 0;
    if (isWell) {
      const how = answer.outcome === "degraded" ? `, degraded: ${answer.words}` : "";
      if (isChanged && !isOut) log.info(`${who} passes its health checks${how}`);
      else if (alwaysLogsSuccess) log.info(`${who} passed a health check${how}`);
      return;
    }
    if (isChanged && isOut && !isFirst) log.warn(`${who} fails its health checks and is not used: ${answer.words}`);
    else if (isFirst || alwaysLogsFailures) log.warn(`${who} failed a health check: ${answer.words}`);
  }
}
