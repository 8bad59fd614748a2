// Requests and successes of the last seconds, second by second.

interface Second {
  readonly start: number;
  requests: number;
  successes: number;
}

export class SuccessWindow {
  readonly #windowMs: number;
  readonly #seconds: Second[] = [];
  #requests = 0;
  #successes = 0;

  constructor(windowMs: number) {
    this.#windowMs = windowMs;
  }

  record(isSuccess: boolean, now: number): void {
    this.#forget(now);
    let last = this.#seconds.at(-1);
    if (last === undefined || now - last.start >= 1000) {
      last = { start: now, requests: 0, successes: 0 };
      this.#seconds.push(last);
    }
    last.requests++;
    this.#requests++;
    if (!isSuccess) return;
    last.successes++;
    this.#successes++;
  }

  counts(now: number): { readonly requests: number; readonly successes: number } {
    this.#forget(now);
    return { requests: this.#requests, successes: this.#successes };
  }

  #forget(now: number): void {
    for (let first = this.#seconds[0]; first !== undefined; first = this.#seconds[0]) {
      if (now - first.start < this.#windowMs) return;
      this.#requests -= first.requests;
      this.#successes -= first.successes;
      this.#seconds.shift();
    }
  }
}
