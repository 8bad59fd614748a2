// What is on its way to a collector, spans or log records: sent in batches, one batch at a time, and so many kept at
// most. Whoever reports never waits, and a collector that is slow or away costs reports only.

import type { Counter, Stats } from "../stats/stats.ts";
import type { EventLoop } from "../transport/event-loop.ts";

/** Sends a batch. `done` is called once, and never before `send` has returned. */
export type SendBatch<T> = (batch: readonly T[], done: (isAccepted: boolean) => void) => void;

/** Names of statistics. */
export interface ReportNames {
  readonly sent: string;
  /** Batches that were not taken. */
  readonly failed: string;
  /** Reports that there was no room for. */
  readonly dropped: string;
  readonly timerFlushed: string;
}

/** As Envoy's `min_flush_spans`. */
const minBatch = 5;
/** Collectors take messages of 4 MiB; a report with all it has is about 2 KiB. */
const maxBatch = 512;
const maxKept = 4096;

export class ReportBuffer<T> {
  readonly #loop: EventLoop;
  readonly #intervalMs: number;
  readonly #send: SendBatch<T>;
  readonly #sent: Counter;
  readonly #failed: Counter;
  readonly #dropped: Counter;
  readonly #timerFlushed: Counter;
  #kept: T[] = [];
  #isSending = false;
  #isFlushDue = false;
  #cancelTimer: (() => void) | null = null;
  #onEmpty: (() => void)[] = [];

  /** Few reports wait for `intervalMs` at most. */
  constructor(loop: EventLoop, stats: Stats, names: ReportNames, intervalMs: number, send: SendBatch<T>) {
    this.#loop = loop;
    this.#intervalMs = intervalMs;
    this.#send = send;
    this.#sent = stats.counter(names.sent);
    this.#failed = stats.counter(names.failed);
    this.#dropped = stats.counter(names.dropped);
    this.#timerFlushed = stats.counter(names.timerFlushed);
  }

  add(item: T): void {
    if (this.#kept.length >= maxKept) {
      this.#dropped.value++;
      return;
    }
    this.#kept.push(item);
    if (this.#kept.length < minBatch) this.#cancelTimer ??= this.#loop.after(this.#intervalMs, () => this.#timedOut());
    else if (!this.#isSending && !this.#isFlushDue) {
      // Not within the request that just ended: what ends beside it goes along.
      this.#isFlushDue = true;
      this.#loop.after(0, () => this.#flush());
    }
  }

  /** Sends what waits at once; resolves when nothing is left or on its way, whatever became of it. */
  emptied(): Promise<void> {
    if (this.#kept.length === 0 && !this.#isSending) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onEmpty.push(resolve);
      this.#flush();
    });
  }

  #timedOut(): void {
    this.#cancelTimer = null;
    this.#timerFlushed.value++;
    this.#flush();
  }

  #flush(): void {
    this.#isFlushDue = false;
    if (this.#isSending || this.#kept.length === 0) return;
    this.#cancelTimer?.();
    this.#cancelTimer = null;
    this.#isSending = true;
    const batch = this.#kept.splice(0, maxBatch);
    this.#send(batch, (isAccepted) => {
      this.#isSending = false;
      if (isAccepted) this.#sent.value += batch.length;
      else this.#failed.value++;
      const isEmptying = this.#onEmpty.length > 0;
      if (isEmptying && this.#kept.length === 0) {
        for (const resolve of this.#onEmpty.splice(0)) resolve();
      } else if (isEmptying || this.#kept.length >= minBatch) this.#flush();
      else if (this.#kept.length > 0) this.#cancelTimer ??= this.#loop.after(this.#intervalMs, () => this.#timedOut());
    });
  }
}
