// HOT: per stream. Where one direction of a stream stands in its filter chain: which filter has stopped it, what is held
// there, and which hooks are still to be called. The stream calls the hooks; this keeps the place.

/** More than any position. */
const passedAll = 0x3fffffff;

export class FilterPath {
  /** Index of the next headers hook and of the next end hook. */
  nextHeaders = 0;
  nextEnd = 0;
  /** The end of the message has arrived. */
  hasEnd = false;
  isEndSent = false;
  /** Index of the data hook from which held data goes on. */
  heldFrom = 0;
  /** Held data is on its way, and the end must not overtake it. */
  isFlushing = false;
  #held: Buffer[] | null = null;
  /** Position of the filter that has the head now, or stopped the message. Data and end go no further. */
  #reached = -1;
  #isStopped = false;
  /** The filter that stopped takes data and the end itself. */
  #takesData = false;

  get isStopped(): boolean {
    return this.#isStopped;
  }

  /** As `isStopped`, by a filter that takes no data meanwhile. */
  get isPaused(): boolean {
    return this.#isStopped && !this.#takesData;
  }

  get hasHeld(): boolean {
    return this.#held !== null;
  }

  /** Begins anew, for the head of a local reply in place of another one. */
  restart(): void {
    this.nextHeaders = 0;
    this.nextEnd = 0;
    this.hasEnd = false;
    this.#held = null;
    this.#reached = -1;
    this.#isStopped = false;
  }

  /** The head is with the filter at this position. */
  reach(position: number): void {
    this.#reached = position;
  }

  /** The head has passed all filters. */
  passAll(): void {
    this.#reached = passedAll;
  }

  stopAt(position: number, takesData: boolean): void {
    this.#reached = position;
    this.#isStopped = true;
    this.#takesData = takesData;
  }

  resume(): void {
    this.#isStopped = false;
  }

  /** Whether data or an end may not reach the hook of the filter at this position. */
  stops(position: number): boolean {
    return position > this.#reached || (position === this.#reached && this.#isStopped && !this.#takesData);
  }

  /** Keeps data before the data hook with that index. */
  hold(from: number, data: Buffer): void {
    if (this.#held === null) {
      this.#held = [];
      this.heldFrom = from;
    }
    this.#held.push(data);
  }

  takeHeld(): Buffer[] | null {
    const held = this.#held;
    this.#held = null;
    return held;
  }
}
