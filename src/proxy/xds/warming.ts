// What waits for something else before it is used, since when, and when it is used without. A pass over all resources
// says what waits; what the pass does not name any more waits no longer.
import type { Logger } from "#base/log/log.ts";
import type { Clock } from "#base/time/clock.ts";

export interface WarmingOptions {
  readonly clock: Clock;
  readonly log: Logger;
  /** 0 waits on. */
  readonly timeoutMs: number;
}

export class Warming {
  readonly #options: WarmingOptions;
  readonly #since = new Map<string, number>();
  readonly #seen = new Set<string>();
  readonly #patient = new Set<string>();

  constructor(options: WarmingOptions) {
    this.#options = options;
  }

  /** Begins a pass. */
  begin(): void {
    this.#seen.clear();
  }

  /** Tells whether `what` has to wait on, as `cluster x waits for its endpoints`. Who is patient waits without an end. */
  mustWait(what: string, isPatient = false): boolean {
    const { clock, log, timeoutMs } = this.#options;
    const since = this.#since.get(what);
    if (since === undefined) this.#since.set(what, clock.now());
    else if (!isPatient && timeoutMs > 0 && clock.now() - since >= timeoutMs) {
      log.warn(`${what} for ${timeoutMs} ms; going on without`);
      return false;
    }
    this.#seen.add(what);
    if (isPatient) this.#patient.add(what);
    return true;
  }

  /** Ends the pass: true when nothing waits. */
  end(): boolean {
    for (const what of this.#since.keys()) if (!this.#seen.has(what)) this.#since.delete(what);
    for (const what of this.#patient) if (!this.#seen.has(what)) this.#patient.delete(what);
    return this.#seen.size === 0;
  }

  names(): string[] {
    return [...this.#since.keys()];
  }

  /** When something will have waited long enough. */
  *due(): Iterable<number> {
    const { timeoutMs } = this.#options;
    if (timeoutMs === 0) return;
    for (const [what, since] of this.#since) if (!this.#patient.has(what)) yield since + timeoutMs;
  }
}
