// HOT: per frame (bench/http2-codec.ts). The way from the frames of a turn to the socket: whether a flush is due, whether the socket takes more, and how
// many frames that the peer caused wait while it does not read.
import type { Http2Connection } from "./connection.ts";
import { FrameOutput } from "./output.ts";
import type { Http2Sink } from "./owner.ts";
import type { Http2Limits } from "./settings.ts";

/** Output of one turn above which it is handed on before the turn ends, to hear whether the socket still takes it. */
const handOnBytes = 64 * 1024;

export class Outlet {
  readonly frames: FrameOutput = new FrameOutput();
  /** The socket takes no more for now. */
  isBlocked = false;
  /** Since when, or 0. */
  blockedSince = 0;
  readonly #connection: Http2Connection;
  readonly #sink: Http2Sink;
  readonly #limits: Http2Limits;
  #isDirty = false;
  /** Counted always, and forgotten whenever the socket takes the output. */
  #controls = 0;
  #heads = 0;

  constructor(connection: Http2Connection, sink: Http2Sink, limits: Http2Limits) {
    this.#connection = connection;
    this.#sink = sink;
    this.#limits = limits;
  }

  /** There is output: the owner is asked to flush before the turn ends. */
  flushSoon(): void {
    if (this.#isDirty) return;
    this.#isDirty = true;
    this.#sink.flushSoon(this.#connection);
  }

  /** Hands the output of this turn to the sink. */
  flush(): void {
    this.#isDirty = false;
    this.#handOn();
    if (this.isBlocked) return;
    this.#controls = 0;
    this.#heads = 0;
  }

  #handOn(): void {
    if (this.frames.length === 0 || this.frames.flush(this.#sink) || this.isBlocked) return;
    this.isBlocked = true;
    this.blockedSince = Math.max(1, this.#sink.now());
  }

  /** The socket takes bytes again. */
  unblock(): void {
    this.isBlocked = false;
    this.blockedSince = 0;
    this.#controls = 0;
    this.#heads = 0;
  }

  /** A DATA frame was written. */
  dataWritten(): void {
    this.flushSoon();
    if (this.frames.length > handOnBytes) this.#handOn();
  }

  /** A control frame was written. False: too many of them wait. */
  controlWritten(): boolean {
    this.flushSoon();
    return ++this.#controls <= this.#limits.maxQueuedControlFrames || !this.isBlocked;
  }

  /** A header block was written. False: too many of them wait. */
  headWritten(): boolean {
    this.flushSoon();
    return ++this.#heads <= this.#limits.maxQueuedHeads || !this.isBlocked;
  }
}
