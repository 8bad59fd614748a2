// Slows the bytes of one direction of a stream down to a rate, for filters. It keeps what may not go yet, and asks for
// the peer to be stopped while it keeps much. A token bucket of one second's bytes that starts almost empty, so that a
// stream does not begin with a burst; sixteenths of a second are the grain.
import type { EventLoop } from "../transport/event-loop.ts";

export interface ThrottleUser {
  /** These bytes may go now. */
  send(data: Buffer): void;
  /** Everything has gone; called once, after `finish` answered false. */
  finished(): void;
  pause(): void;
  unpause(): void;
}

/** Kept bytes above which the peer is stopped, and below which it may go on. */
const highWaterBytes = 64 * 1024;
const lowWaterBytes = 16 * 1024;
const intervalMs = 1000 / 16;

export class Throttle {
  readonly #loop: EventLoop;
  readonly #bytesPerMs: number;
  readonly #user: ThrottleUser;
  readonly #kept: Buffer[] = [];
  #keptBytes = 0;
  #allowance: number;
  #since: number;
  #isFinishing = false;
  #isPaused = false;
  #cancelTimer: (() => void) | null = null;

  constructor(loop: EventLoop, kibPerSecond: number, user: ThrottleUser) {
    this.#loop = loop;
    this.#bytesPerMs = (kibPerSecond * 1024) / 1000;
    this.#user = user;
    this.#allowance = this.#bytesPerMs * intervalMs;
    this.#since = loop.now;
  }

  get keptBytes(): number {
    return this.#keptBytes;
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
    this.#allowance = Math.min(this.#allowance + (now - this.#since) * this.#bytesPerMs, this.#bytesPerMs * 1000);
    this.#since = now;
    while (this.#keptBytes > 0 && this.#allowance >= 1) {
      const first = this.#kept[0]!;
      const length = Math.min(first.length, Math.floor(this.#allowance));
      if (length === first.length) this.#kept.shift();
      else this.#kept[0] = first.subarray(length);
      this.#keptBytes -= length;
      this.#allowance -= length;
      this.#user.send(length === first.length ? first : first.subarray(0, length));
    }
    if (this.#keptBytes > 0) this.#cancelTimer ??= this.#loop.after(intervalMs, () => this.#tick());
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
