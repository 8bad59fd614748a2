// HOT: per request; bench/load-balancer.ts. What one endpoint's traffic shows. Results are counted here; when a count
// reaches its limit the detector is told. Failures of this side (no connection, no answer in time) count as 503 and 504,
// unless they are told apart from what the server answers.
import type { OutlierDetectionConfig } from "../../config/outlier-detection.ts";
import type { Ejection, EjectionType } from "./ejection.ts";

/** The cluster's detector as a monitor sees it. */
export interface OutlierJudge {
  readonly config: OutlierDetectionConfig;
  /** False while nobody looks at the monitors, because nothing happened for a while. */
  readonly isWatching: boolean;
  watch(): void;
  consecutive(monitor: OutlierMonitor, type: EjectionType, count: number): void;
}

/** Results of one interval. */
export class ResultWindow {
  total = 0;
  successes = 0;
  /** Percent of the last complete interval; -1: not enough requests. */
  rate = -1;
}

export class OutlierMonitor {
  /** Of what servers answer, and of this side's own failures; the latter only where they are told apart. */
  readonly answers: ResultWindow = new ResultWindow();
  readonly connects: ResultWindow = new ResultWindow();
  ejection: Ejection | null = null;
  /** How often the endpoint was ejected. */
  ejections = 0;
  /** What the base time of the next ejection is multiplied with; it shrinks while the endpoint behaves. */
  backoff = 0;
  readonly #judge: OutlierJudge;
  #fiveXx = 0;
  #gatewayFailures = 0;
  #localFailures = 0;

  constructor(judge: OutlierJudge) {
    this.#judge = judge;
  }

  /** The endpoint answered; of gRPC its status as HTTP. */
  onStatus(status: number): void {
    const judge = this.#judge;
    if (!judge.isWatching) judge.watch();
    const { answers } = this;
    answers.total++;
    if (status < 500 || status > 599) {
      answers.successes++;
      this.#fiveXx = 0;
      this.#gatewayFailures = 0;
      return;
    }
    const { config } = judge;
    if (status >= 502 && status <= 504) {
      if (++this.#gatewayFailures === config.consecutiveGatewayFailure) {
        this.#gatewayFailures = 0;
        judge.consecutive(this, "CONSECUTIVE_GATEWAY_FAILURE", config.consecutiveGatewayFailure);
      }
    } else this.#gatewayFailures = 0;
    if (++this.#fiveXx === config.consecutive5xx) {
      this.#fiveXx = 0;
      judge.consecutive(this, "CONSECUTIVE_5XX", config.consecutive5xx);
    }
  }

  /** There is a connection for a request; the request's own result follows. */
  onConnected(): void {
    if (this.#judge.config.splitsLocalOrigin) this.#localSuccess();
  }

  /** There is a connection for bytes, and no other result will follow. */
  onTcpConnected(): void {
    if (this.#judge.config.splitsLocalOrigin) this.#localSuccess();
    else this.onStatus(200);
  }

  /** No connection, a connection that broke, or no answer in time. */
  onLocalFailure(isTimeout: boolean): void {
    const judge = this.#judge;
    const { config } = judge;
    if (!config.splitsLocalOrigin) {
      this.onStatus(isTimeout ? 504 : 503);
      return;
    }
    if (!judge.isWatching) judge.watch();
    this.connects.total++;
    if (++this.#localFailures !== config.consecutiveLocalOriginFailure) return;
    this.#localFailures = 0;
    judge.consecutive(this, "CONSECUTIVE_LOCAL_ORIGIN_FAILURE", config.consecutiveLocalOriginFailure);
  }

  #localSuccess(): void {
    if (!this.#judge.isWatching) this.#judge.watch();
    this.connects.total++;
    this.connects.successes++;
    this.#localFailures = 0;
  }

  /** An endpoint that comes back begins anew. */
  forgive(): void {
    this.#fiveXx = 0;
    this.#gatewayFailures = 0;
    this.#localFailures = 0;
  }
}
