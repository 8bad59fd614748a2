// Bounds what is on its way to all proxies together: a response is not even made while more than the budget is unsent,
// and streams that wait for room get it in their order. What a slow client does not read stops counting after a while,
// so that it delays nobody; a stream has one response per type on its way at most, which bounds what each may hold.
import type { Clock } from "#base/time/clock.ts";

const defaultMaxBytes = 64 * 1024 * 1024;
const patienceMs = 2000;

export class SendBudget {
  readonly #clock: Clock;
  readonly #maxBytes: number;
  readonly #waiting = new Set<() => void>();
  #unsentBytes = 0;

  constructor(clock: Clock, maxBytes: number = defaultMaxBytes) {
    this.#clock = clock;
    this.#maxBytes = maxBytes;
  }

  /** Whether something may be sent now; if not, `retry` is called when it may. */
  admits(retry: () => void): boolean {
    if (this.#unsentBytes < this.#maxBytes) return true;
    this.#waiting.add(retry);
    return false;
  }

  forget(retry: () => void): void {
    this.#waiting.delete(retry);
  }

  /** Counts bytes as unsent; the returned function says that they are sent, or never will be. */
  spend(bytes: number): () => void {
    this.#unsentBytes += bytes;
    let isCounted = true;
    const release = (): void => {
      if (!isCounted) return;
      isCounted = false;
      cancel();
      this.#unsentBytes -= bytes;
      this.#wake();
    };
    const cancel = this.#clock.after(patienceMs, release);
    return release;
  }

  #wake(): void {
    for (const retry of this.#waiting) {
      if (this.#unsentBytes >= this.#maxBytes) return;
      this.#waiting.delete(retry);
      retry();
    }
  }
}
