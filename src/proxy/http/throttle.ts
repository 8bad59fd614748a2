// Slows the bytes of one direction of a stream down to a rate, for filters. It keeps what may not go yet, and asks for
// the peer to be stopped while it keeps much. Streams may share a budget.
import { clockSkewMs, type ProcessCell } from "#base/threads/process-cells.ts";
import type { EventLoop } from "../transport/event-loop.ts";

export interface ThrottleUser {
  /** These bytes may go now. */
  send(data: Buffer): void;
  /** Everything has gone; called once, after `finish` answered false. */
  finished(): void;
  pause(): void;
  unpause(): void;
}

/**
 * A token bucket of bytes: one second's at most. It starts almost empty, so that a stream does not begin with a burst.
 */
export class ByteBudget {
  readonly intervalMs: number;
  readonly #bytesPerMs: number;
  #allowance: number;
  #since: number;
  /** Null: this thread has it for itself. */
  readonly #cell: ProcessCell | null;

  /** Who waits for bytes asks again every `intervalMs`. */
  constructor(kibPerSecond: number, intervalMs: number, now: number, cell: ProcessCell | null = null) {
    this.#cell = cell;
    this.intervalMs = intervalMs;
    this.#bytesPerMs = (kibPerSecond * 1024) / 1000;
    this.#allowance = this.#bytesPerMs * intervalMs;
    this.#since = now;
  }

  /** Takes as many of `bytes` as there are. */
  take(bytes: number, now: number): number {
    const cell = this.#cell;
    if (cell !== null) {
      cell.lock();
      if (cell.since !== 0) {
        this.#allowance = cell.tokens;
        this.#since = cell.since;
      }
    }
    if (now > this.#since) {
      this.#allowance = Math.min(this.#allowance + (now - this.#since) * this.#bytesPerMs, this.#bytesPerMs * 1000);
    }
    if (cell === null || now > this.#since || now < this.#since - clockSkewMs) this.#since = now;
    const taken = Math.min(bytes, Math.floor(this.#allowance));
    this.#allowance -= taken;
    if (cell !== null) {
      cell.tokens = this.#allowance;
      cell.since = this.#since;
      cell.unlock();
    }
    return taken;
  }
}

/** Kept bytes above which the peer is stopped, and below which it may go on. */
const highWaterBytes = 64 * 1024;
const lowWaterBytes = 16 * 1024;

export class Throttle {
  readonly #loop: EventLoop;
  readonly #budget: ByteBudget;
  readonly #user: ThrottleUser;
  readonly #kept: Buffer[] = [];
  #keptBytes = 0;
  #isFinishing = false;
  #isPaused = false;
  #cancelTimer: (() => void) | null = null;

  constructor(loop: EventLoop, budget: ByteBudget, user: ThrottleUser) {
    this.#loop = loop;
    this.#budget = budget;
    this.#user = user;
  }

  write(data: Buffer): void {
    this.#kept.push(data);
    this.#keptBytes += data.length;
    this.#drain();
    if (this.#keptBytes > highWaterBytes && !this.#isPaused) {
      this.#isPaused = true;
      this.#user.pause();
    }
  }

  /** No more follows. True: everything has gone already. */
  finish(): boolean {
    this.#isFinishing = this.#keptBytes > 0;
    return !this.#isFinishing;
  }

  /** Drops what is kept. */
  stop(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = null;
    this.#kept.length = 0;
    this.#keptBytes = 0;
  }

  #drain(): void {
    const { now } = this.#loop;
    for (let first = this.#kept[0]; first !== undefined; first = this.#kept[0]) {
      const length = this.#budget.take(first.length, now);
      if (length === 0) break;
      if (length === first.length) this.#kept.shift();
      else this.#kept[0] = first.subarray(length);
      this.#keptBytes -= length;
      this.#user.send(length === first.length ? first : first.subarray(0, length));
    }
    if (this.#keptBytes > 0) this.#cancelTimer ??= this.#loop.after(this.#budget.intervalMs, () => this.#tick());
  }

  #tick(): void {
    this.#cancelTimer = null;
    this.#drain();
    if (this.#isPaused && this.#keptBytes < lowWaterBytes) {
      this.#isPaused = false;
      this.#user.unpause();
    }
    if (this.#isFinishing && this.#keptBytes === 0) {
      this.#isFinishing = false;
      this.#user.finished();
    }
  }
}
