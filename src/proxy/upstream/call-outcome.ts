// How a call that the proxy makes by itself ends: told exactly once, and never before who made it has it in hand.
import type { EventLoop } from "../transport/event-loop.ts";

export class CallOutcome {
  readonly #loop: EventLoop;
  #isHandedOut = false;
  #isOver = false;
  #cancelLater: (() => void) | null = null;

  constructor(loop: EventLoop) {
    this.#loop = loop;
  }

  /** The caller has its call: from here on outcomes are told at once. */
  handOut(): void {
    this.#isHandedOut = true;
  }

  /** Only the first outcome counts. */
  tell(outcome: () => void): void {
    if (this.#isOver) return;
    this.#isOver = true;
    if (this.#isHandedOut) outcome();
    else this.#cancelLater = this.#loop.after(0, outcome);
  }

  /** Nothing is told any more. */
  cancel(): void {
    this.#isOver = true;
    this.#cancelLater?.();
  }
}
