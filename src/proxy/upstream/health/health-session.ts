// The health checks of one endpoint: when it is asked, and what the answers make of it. A first answer counts at once;
// after that it takes as many in a row as the thresholds say. Rules are Envoy's:
// https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/health_checking
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
import { failure, type Probe, type ProbeAnswer } from "./probe.ts";

/** The cluster's health checker as a session sees it. */
export interface SessionOwner {
  readonly loop: EventLoop;
  readonly config: HealthCheckConfig;
  /** The cluster carried traffic at some time. */
  readonly hasTraffic: boolean;
  onAsked(): void;
  /** Traffic told of a failure; `onAnswered` follows. */
  onPassiveFailure(): void;
  /** After every answer; `isChanged`: other flags than before. */
  onAnswered(session: HealthSession, answer: ProbeAnswer, isChanged: boolean): void;
}

export class HealthSession {
  readonly endpoint: UpstreamEndpoint;
  /** True until the first answer. */
  isFirst = true;
  /** Why the last check failed, in words; empty when it passed. */
  lastFailure = "";
  readonly #owner: SessionOwner;
  readonly #probe: Probe;
  #passes = 0;
  #failures = 0;
  #cancelNext: (() => void) | null = null;
  #cancelTimeout: (() => void) | null = null;

  constructor(owner: SessionOwner, endpoint: UpstreamEndpoint, probe: Probe) {
    this.#owner = owner;
    this.endpoint = endpoint;
    this.#probe = probe;
  }

  start(): void {
    const { initialJitterMs } = this.#owner.config;
    const { loop } = this.#owner;
    const waitMs = Math.floor(loop.random() * initialJitterMs);
    if (waitMs > 0) this.#cancelNext = loop.after(waitMs, () => this.#ask());
    else this.#ask();
  }

  #ask(): void {
    this.#cancelNext = null;
    const { loop, config } = this.#owner;
    this.#owner.onAsked();
    this.#cancelTimeout = loop.after(config.timeoutMs, () => {
      this.#cancelTimeout = null;
      this.#probe.abort();
      this.#take(failure("timeout", `it did not answer within ${config.timeoutMs} ms`));
    });
    this.#probe.ask((answer) => {
      this.#cancelTimeout?.();
      this.#cancelTimeout = null;
      this.#take(answer);
    });
  }

  #take(answer: ProbeAnswer): void {
    const { endpoint } = this;
    const before = endpoint.healthFlags;
    const isWell = answer.outcome === "passed" || answer.outcome === "degraded";
    this.lastFailure = isWell ? "" : answer.words;
    const isPending = isWell ? this.#passed(answer.outcome === "degraded") : this.#failed(answer);
    endpoint.healthFlags &= ~PENDING_ACTIVE_HC;
    this.#owner.onAnswered(this, answer, endpoint.healthFlags !== before);
    this.isFirst = false;
    // What was told may have ended this session.
    if (endpoint.checks === this) this.#askAgain(isWell, isPending);
  }

  /** Returns whether more of the same will change the state. */
  #passed(isDegraded: boolean): boolean {
    const { endpoint } = this;
    this.#failures = 0;
    let isPending = false;
    endpoint.healthFlags &= ~EXCLUDED_VIA_IMMEDIATE_HC_FAIL;
    if ((endpoint.healthFlags & FAILED_ACTIVE_HC) !== 0) {
      if (this.isFirst || ++this.#passes >= this.#owner.config.healthyThreshold) {
        endpoint.healthFlags &= ~(FAILED_ACTIVE_HC | ACTIVE_HC_TIMEOUT);
        endpoint.usableSince = this.#owner.loop.clock.now();
        this.#passes = 0;
      } else isPending = true;
    }
    if (isDegraded) endpoint.healthFlags |= DEGRADED_ACTIVE_HC;
    else endpoint.healthFlags &= ~DEGRADED_ACTIVE_HC;
    return isPending;
  }

  #failed(answer: ProbeAnswer): boolean {
    const { endpoint } = this;
    this.#passes = 0;
    if (answer.isExcluded) endpoint.healthFlags |= EXCLUDED_VIA_IMMEDIATE_HC_FAIL;
    let isPending = false;
    if ((endpoint.healthFlags & FAILED_ACTIVE_HC) === 0) {
      if (answer.outcome === "refused" || ++this.#failures >= this.#owner.config.unhealthyThreshold) {
        endpoint.healthFlags |= FAILED_ACTIVE_HC;
        this.#failures = 0;
      } else isPending = true;
    }
    if ((endpoint.healthFlags & FAILED_ACTIVE_HC) !== 0 && answer.outcome === "timeout") {
      endpoint.healthFlags |= ACTIVE_HC_TIMEOUT;
    }
    return isPending;
  }

  /** A response to traffic asked to take the endpoint out of rotation. */
  failAtOnce(): void {
    const { endpoint } = this;
    const before = endpoint.healthFlags;
    this.#passes = 0;
    this.lastFailure = "it asked to be taken out of rotation";
    endpoint.healthFlags |= FAILED_ACTIVE_HC | EXCLUDED_VIA_IMMEDIATE_HC_FAIL;
    if (endpoint.healthFlags === before) return;
    this.#owner.onPassiveFailure();
    const answer: ProbeAnswer = { ...failure("refused", this.lastFailure), isExcluded: true };
    this.#owner.onAnswered(this, answer, true);
  }

  #askAgain(isWell: boolean, isPending: boolean): void {
    const { loop, config, hasTraffic } = this.#owner;
    const { intervals } = config;
    let waitMs: number;
    if (!hasTraffic) waitMs = isWell && !isPending ? intervals.noTrafficHealthy : intervals.noTraffic;
    else if (isWell) waitMs = isPending ? intervals.healthyEdge : intervals.healthy;
    else waitMs = isPending ? intervals.unhealthyEdge : intervals.unhealthy;
    waitMs += Math.floor((loop.random() * waitMs * config.intervalJitterPercent) / 100);
    waitMs += Math.floor(loop.random() * config.intervalJitterMs);
    this.#cancelNext = loop.after(Math.max(1, waitMs), () => this.#ask());
  }

  stop(): void {
    this.#cancelNext?.();
    this.#cancelNext = null;
    this.#cancelTimeout?.();
    this.#cancelTimeout = null;
    this.#probe.stop();
  }
}
