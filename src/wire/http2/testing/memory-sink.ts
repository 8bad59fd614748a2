// A sink without a socket: output is kept, flushed on request, and time stands still until a test moves it.
import { type Http2CodecCounters, http2CodecCounters } from "../codec-counters.ts";
import type { Http2Connection } from "../connection.ts";
import type { Http2Sink } from "../owner.ts";

export class MemorySink implements Http2Sink {
  readonly counters: Http2CodecCounters = http2CodecCounters();
  time = 1000;
  /** What the socket would answer to a write. */
  accepts = true;
  readonly written: Buffer[] = [];
  #dirty: Http2Connection | null = null;

  writeBytes(bytes: Buffer): boolean {
    this.written.push(bytes);
    return this.accepts;
  }

  flushSoon(connection: Http2Connection): void {
    this.#dirty = connection;
  }

  now(): number {
    return this.time;
  }

  get isDirty(): boolean {
    return this.#dirty !== null;
  }

  /** Ends the turn and returns what was written since the last call. */
  take(): Buffer {
    while (this.#dirty !== null) {
      const connection = this.#dirty;
      this.#dirty = null;
      connection.flush();
    }
    return Buffer.concat(this.written.splice(0));
  }
}
