// HOT: per event. What belongs to one event loop of the data path: a coarse clock read once per socket event, the list
// of transports with unflushed writes, and one sweep that looks for missed deadlines instead of a timer per request.
import { type Clock, systemClock } from "#base/time/clock.ts";
import { ReadBuffer } from "./read-buffer.ts";

export interface Flushable {
  flush(): void;
}

export interface Sweepable {
  /** Looks for deadlines that have passed. May remove itself from the sweep. */
  sweep(now: number): void;
}

export interface EventLoopOptions {
  readonly clock?: Clock;
  /** Milliseconds since the epoch, with fractions. */
  readonly now?: () => number;
  readonly random?: () => number;
  /** Period of the sweep, and so the precision of idle and header timeouts. */
  readonly sweepMs?: number;
  /** Told of exceptions that reached the border of a connection. They end that connection only. */
  readonly onBroken?: (error: unknown) => void;
}

export class EventLoop {
  /** Milliseconds since the epoch when the current event began. */
  now: number;
  readonly clock: Clock;
  readonly random: () => number;
  readonly onBroken: (error: unknown) => void;
  readonly readBuffer: ReadBuffer = new ReadBuffer();
  readonly #readClock: () => number;
  readonly #sweepMs: number;
  readonly #swept = new Set<Sweepable>();
  #dirty: Flushable[] = [];
  #flushing: Flushable[] = [];
  #late: Flushable[] = [];
  #isLateScheduled = false;
  #depth = 0;
  #isFlushScheduled = false;
  #cancelSweep: (() => void) | null = null;
  readonly #flushLater: () => void;
  readonly #flushLate: () => void;

  constructor(options: EventLoopOptions = {}) {
    this.clock = options.clock ?? systemClock;
    this.random = options.random ?? Math.random;
    this.onBroken = options.onBroken ?? (() => {});
    this.#readClock = options.now ?? (() => performance.timeOrigin + performance.now());
    this.#sweepMs = options.sweepMs ?? 250;
    this.now = this.#readClock();
    this.#flushLate = () => {
      this.#isLateScheduled = false;
      const round = this.#late;
      this.#late = [];
      this.enter();
      for (let i = 0; i < round.length; i++) {
        try {
          round[i]!.flush();
        } catch (error) {
          this.onBroken(error);
        }
      }
      this.leave();
    };
    this.#flushLater = () => {
      this.#isFlushScheduled = false;
      this.#flush();
    };
  }

  get isInEvent(): boolean {
    return this.#depth > 0;
  }

  /** Begins an event: every write until the matching `leave` goes out together. */
  enter(): void {
    if (this.#depth++ === 0) this.now = this.#readClock();
  }

  leave(): void {
    if (--this.#depth === 0 && this.#dirty.length > 0) this.#flush();
  }

  /** Asks for a flush at the end of the current event. */
  flushSoon(target: Flushable): void {
    this.#dirty.push(target);
    if (this.#depth === 0 && !this.#isFlushScheduled) {
      this.#isFlushScheduled = true;
      process.nextTick(this.#flushLater);
    }
  }

  /**
   * Asks for a flush when all events of this turn are through: what many sockets bring in one turn goes out together
   * on a connection that they share. libuv runs `setImmediate` right after it polled, so nothing waits for it.
   */
  flushAfterPoll(target: Flushable): void {
    this.#late.push(target);
    if (this.#isLateScheduled) return;
    this.#isLateScheduled = true;
    setImmediate(this.#flushLate);
  }

  #flush(): void {
    // A flush may report drained writes, which may write again: those run in the next round.
    while (this.#dirty.length > 0) {
      const round = this.#dirty;
      this.#dirty = this.#flushing;
      this.#flushing = round;
      this.#depth++;
      for (let i = 0; i < round.length; i++) {
        try {
          round[i]!.flush();
        } catch (error) {
          this.onBroken(error);
        }
      }
      this.#depth--;
      round.length = 0;
    }
  }

  /** Runs a timer's callback as an event. */
  after(delayMs: number, callback: () => void): () => void {
    return this.clock.after(delayMs, () => {
      this.enter();
      try {
        callback();
      } catch (error) {
        this.onBroken(error);
      } finally {
        this.leave();
      }
    });
  }

  sweepAlways(target: Sweepable): void {
    this.#swept.add(target);
    this.#cancelSweep ??= this.after(this.#sweepMs, () => this.#sweep());
  }

  stopSweeping(target: Sweepable): void {
    this.#swept.delete(target);
  }

  #sweep(): void {
    this.#cancelSweep = null;
    for (const target of this.#swept) {
      try {
        target.sweep(this.now);
      } catch (error) {
        this.onBroken(error);
      }
    }
    if (this.#swept.size > 0) this.#cancelSweep = this.after(this.#sweepMs, () => this.#sweep());
  }

  stop(): void {
    this.#cancelSweep?.();
    this.#cancelSweep = null;
    this.#swept.clear();
  }
}
