// How long a container that has ended waits for its next run: not at all the first time, then twice as long each time.
// Shorter than Kubernetes' 10 s to 5 min: on a laptop somebody sits in front of it.

const initialMs = 1_000;
const maxMs = 60_000;
/** Who has run so long is taken for healthy. */
const healthyMs = 60_000;

export class RestartDelay {
  #attempts = 0;

  /** Tells how long the run that has just ended took. */
  ended(runMs: number): void {
    if (runMs >= healthyMs) this.#attempts = 0;
  }

  next(): number {
    const delayMs = this.#attempts === 0 ? 0 : Math.min(maxMs, initialMs * 2 ** (this.#attempts - 1));
    this.#attempts++;
    return delayMs;
  }
}
