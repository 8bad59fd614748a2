// Everything starts in a `start()` that returns a Running, and ends in its `stop()`.

export interface Running {
  stop(): Promise<void>;
}

/** Collects what was started and stops it in reverse order; one failure does not keep the others running. */
export class Lifecycle implements Running {
  readonly #parts: Running[] = [];

  add<T extends Running>(part: T): T {
    this.#parts.push(part);
    return part;
  }

  onStop(stop: () => void | Promise<void>): void {
    this.#parts.push({ stop: async () => stop() });
  }

  async stop(): Promise<void> {
    const failures: unknown[] = [];
    for (let part = this.#parts.pop(); part !== undefined; part = this.#parts.pop()) {
      try {
        await part.stop();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw new AggregateError(failures, "a part did not stop cleanly");
  }
}
