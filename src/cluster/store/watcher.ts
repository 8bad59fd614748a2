// Delivers what it is given in order, in microtasks of its own: never inside the call of the one who writes.

export class Watcher<Event> {
  readonly #callback: (event: Event) => void;
  #pending: Event[] = [];
  #isScheduled = false;
  #isClosed = false;

  constructor(callback: (event: Event) => void) {
    this.#callback = callback;
  }

  push(event: Event): void {
    if (this.#isClosed) return;
    this.#pending.push(event);
    this.#schedule();
  }

  close(): void {
    this.#isClosed = true;
    this.#pending = [];
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    queueMicrotask(() => this.#deliver());
  }

  #deliver(): void {
    this.#isScheduled = false;
    const events = this.#pending;
    this.#pending = [];
    let done = 0;
    try {
      for (const event of events) {
        done++;
        if (!this.#isClosed) this.#callback(event);
      }
    } finally {
      // After a callback that threw, the rest still arrives, in order.
      if (done < events.length && !this.#isClosed) {
        this.#pending = [...events.slice(done), ...this.#pending];
        this.#schedule();
      }
    }
  }
}
