// Says in the log which connections were refused before a filter had them. A flood of them must not become a flood of
// lines: so many in a second are written, and the number of the others once it has passed.
import type { Logger } from "#base/log/log.ts";
import type { ConnectionInfo } from "../transport/connection-info.ts";
import type { EventLoop } from "../transport/event-loop.ts";

const linesPerSecond = 20;

export class RefusalLog {
  readonly #log: Logger;
  readonly #loop: EventLoop;
  #second = 0;
  #written = 0;
  #unwritten = 0;

  constructor(log: Logger, loop: EventLoop) {
    this.#log = log;
    this.#loop = loop;
  }

  refused(info: ConnectionInfo, cause: string): void {
    const second = Math.floor(this.#loop.now / 1000);
    if (second !== this.#second) {
      if (this.#unwritten > 0) this.#log.warn(`refused ${this.#unwritten} more connections`);
      this.#second = second;
      this.#written = 0;
      this.#unwritten = 0;
    }
    if (this.#written >= linesPerSecond) {
      this.#unwritten++;
      return;
    }
    this.#written++;
    this.#log.warn(`refused ${info.sourceAddress} → ${info.destinationAddress}: ${cause}`);
  }
}
