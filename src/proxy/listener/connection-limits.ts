// How many downstream connections there may be: of each listener, and all together. Without configuration, as many as the
// system has descriptors for.

export class ConnectionLimits {
  /** Connections that are open now, of all listeners. */
  open = 0;
  #total = Number.POSITIVE_INFINITY;
  #byListener: ReadonlyMap<string, number> = new Map();

  set(total: number, byListener: ReadonlyMap<string, number>): void {
    this.#total = total;
    this.#byListener = byListener;
  }

  get isReached(): boolean {
    return this.open >= this.#total;
  }

  ofListener(name: string): number {
    return this.#byListener.size === 0
      ? Number.POSITIVE_INFINITY
      : (this.#byListener.get(name) ?? Number.POSITIVE_INFINITY);
  }
}
