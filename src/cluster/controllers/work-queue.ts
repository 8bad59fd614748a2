// Keys to reconcile: each at most once at a time, never lost, after a failure again with back-off.

import { Backoff } from "#base/time/backoff.ts";
import type { Clock } from "#base/time/clock.ts";

export interface WorkQueueOptions {
  readonly clock: Clock;
  readonly reconcile: (key: string) => void | Promise<void>;
  readonly onError: (key: string, error: unknown) => void;
  /** How many keys are worked on at once. */
  readonly concurrency?: number;
}

const backoffSettings = { initialMs: 50, maxMs: 5_000 };

export class WorkQueue {
  readonly #options: WorkQueueOptions;
  readonly #waiting = new Set<string>();
  readonly #active = new Set<string>();
  readonly #backoffByKey = new Map<string, Backoff>();
  readonly #delayed = new Map<string, { readonly dueMs: number; readonly cancel: () => void }>();
  #isScheduled = false;
  #isStopped = false;

  constructor(options: WorkQueueOptions) {
    this.#options = options;
  }

  add(key: string): void {
    if (this.#isStopped) return;
    this.#waiting.add(key);
    this.#schedule();
  }

  /** Adds the key once the delay is over; of several delays the shortest counts. */
  addAfter(key: string, delayMs: number): void {
    if (this.#isStopped) return;
    const dueMs = this.#options.clock.now() + delayMs;
    if ((this.#delayed.get(key)?.dueMs ?? Number.POSITIVE_INFINITY) <= dueMs) return;
    this.#cancelDelay(key);
    const cancel = this.#options.clock.after(delayMs, () => {
      this.#delayed.delete(key);
      this.add(key);
    });
    this.#delayed.set(key, { dueMs, cancel });
  }

  /** Tries what failed again at once: the reason may be gone. */
  retryFailed(): void {
    for (const [key, backoff] of this.#backoffByKey) {
      backoff.reset();
      this.#cancelDelay(key);
      this.add(key);
    }
  }

  stop(): void {
    this.#isStopped = true;
    this.#waiting.clear();
    for (const { cancel } of this.#delayed.values()) cancel();
    this.#delayed.clear();
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      this.#run();
    });
  }

  #run(): void {
    const { concurrency = 16 } = this.#options;
    for (const key of this.#waiting) {
      if (this.#active.size >= concurrency) return;
      if (this.#active.has(key)) continue;
      this.#waiting.delete(key);
      this.#active.add(key);
      void this.#work(key);
    }
  }

  async #work(key: string): Promise<void> {
    try {
      await this.#options.reconcile(key);
      this.#backoffByKey.delete(key);
    } catch (error) {
      if (!this.#isStopped) {
        this.#options.onError(key, error);
        this.#delayRetry(key);
      }
    } finally {
      this.#active.delete(key);
      if (this.#waiting.size > 0 && !this.#isStopped) this.#schedule();
    }
  }

  #delayRetry(key: string): void {
    let backoff = this.#backoffByKey.get(key);
    if (backoff === undefined) {
      backoff = new Backoff(backoffSettings);
      this.#backoffByKey.set(key, backoff);
    }
    this.#cancelDelay(key);
    this.addAfter(key, backoff.next());
  }

  #cancelDelay(key: string): void {
    this.#delayed.get(key)?.cancel();
    this.#delayed.delete(key);
  }
}
