// Runs the termination machine with a clock and the proxy's own functions.

import { describeError } from "#base/error.ts";
import type { Logger } from "#base/log/log.ts";
import { type Clock, systemClock } from "#base/time/clock.ts";
import {
  initialTermination,
  type TerminationEvent,
  type TerminationPolicy,
  type TerminationState,
  terminationStep,
} from "./termination.ts";

export interface TerminatorOptions {
  readonly policy: TerminationPolicy;
  /** Stops taking new work; called once. */
  readonly drain: () => void | Promise<void>;
  readonly activeConnections: () => number;
  readonly logger: Logger;
  readonly clock?: Clock;
}

export class Terminator {
  /** Settles when the process may end. */
  readonly finished: Promise<void>;
  readonly #options: TerminatorOptions;
  readonly #clock: Clock;
  readonly #finish: () => void;
  #state: TerminationState = initialTermination;
  #cancelCheck: () => void = () => {};

  constructor(options: TerminatorOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    const finished = Promise.withResolvers<void>();
    this.finished = finished.promise;
    this.#finish = () => finished.resolve();
  }

  /** preStop of a native sidecar, or POST /drain. */
  drain(): void {
    this.#apply({ type: "drain", nowMs: this.#clock.now() });
  }

  /** SIGTERM, SIGINT or POST /quitquitquit. */
  terminate(): void {
    this.#apply({ type: "terminate", nowMs: this.#clock.now() });
  }

  get phase(): TerminationState["phase"] {
    return this.#state.phase;
  }

  #apply(event: TerminationEvent): void {
    const { state, actions } = terminationStep(this.#state, event, this.#options.policy);
    if (state.phase !== this.#state.phase) this.#options.logger.info(`proxy is ${state.phase}`);
    this.#state = state;
    for (const action of actions) {
      if (action.type === "drain") this.#drain();
      else if (action.type === "check-after") this.#checkAfter(action.delayMs);
      else {
        this.#cancelCheck();
        this.#finish();
      }
    }
  }

  #checkAfter(delayMs: number): void {
    this.#cancelCheck();
    this.#cancelCheck = this.#clock.after(delayMs, () => {
      const activeConnections = this.#options.activeConnections();
      this.#apply({ type: "check", nowMs: this.#clock.now(), activeConnections });
    });
  }

  #drain(): void {
    void (async () => this.#options.drain())().catch((error: unknown) => {
      this.#options.logger.error(`the drain did not begin: ${describeError(error)}`);
    });
  }
}
