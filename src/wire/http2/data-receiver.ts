// HOT: per DATA frame (bench/http2-codec.ts). Content on its way in: the windows that the peer sends by (RFC 9113 5.2), and what waits for a handler that
// does not read. A window opens again for what was taken, in large steps.
import { ByteQueue } from "./byte-queue.ts";
import { INITIAL_WINDOW } from "./frame.ts";
import type { Http2Settings } from "./settings.ts";
import { CLOSED, type Http2Stream, IGNORES_INPUT, REMOTE_END } from "./stream.ts";

const noBytes: Buffer = Buffer.alloc(0);

export interface DataReceiverUser {
  /** The peer may send that much more; stream 0 is the connection. */
  onWindowOpened(streamId: number, increment: number): void;
}

export class DataReceiver {
  /** Window that a stream begins with: ours once the peer knows our SETTINGS. */
  streamWindow: number;
  readonly #user: DataReceiverUser;
  readonly #settings: Http2Settings;
  #window = INITIAL_WINDOW;
  #credit = 0;

  constructor(user: DataReceiverUser, settings: Http2Settings) {
    this.#user = user;
    this.#settings = settings;
    this.streamWindow = Math.max(INITIAL_WINDOW, settings.streamWindow);
  }

  /** Opens the connection's window as wide as it is meant to be. */
  start(): void {
    const more = this.#settings.connectionWindow - INITIAL_WINDOW;
    if (more <= 0) return;
    this.#window += more;
    this.#user.onWindowOpened(0, more);
  }

  /** Received bytes that nobody took yet. */
  get heldBytes(): number {
    return Math.max(INITIAL_WINDOW, this.#settings.connectionWindow) - this.#window - this.#credit;
  }

  /** Counts a frame against the connection's window. False: it does not fit. */
  takesFrame(length: number): boolean {
    this.#window -= length;
    return this.#window >= 0;
  }

  /** Hands content to the handler, or keeps it while that does not read. */
  receive(stream: Http2Stream, bytes: Buffer, start: number, end: number, isEnd: boolean): void {
    if (stream.isPaused || (stream.inbound !== null && stream.inbound.length > 0)) {
      stream.inbound ??= new ByteQueue();
      stream.inbound.push(bytes.subarray(start, end));
      stream.inboundEnd = isEnd;
      return;
    }
    const count = end - start;
    this.takenFrom(stream, count);
    this.taken(count);
    const { handler } = stream;
    if (handler === null || (stream.state & IGNORES_INPUT) !== 0 || (count === 0 && !isEnd)) return;
    handler.onData(count === 0 ? noBytes : (bytes.subarray(start, end) as Buffer), isEnd);
  }

  /** Hands on what was kept while the stream was paused. */
  deliver(stream: Http2Stream): void {
    const { inbound } = stream;
    while (inbound !== null && inbound.length > 0 && !stream.isPaused && stream.inbound === inbound) {
      const data = inbound.shift(inbound.length);
      const isEnd = stream.inboundEnd && inbound.length === 0;
      if (isEnd) stream.inboundEnd = false;
      this.takenFrom(stream, data.length);
      this.taken(data.length);
      stream.handler?.onData(data, isEnd);
    }
    if (stream.isPaused) return;
    if (stream.inboundEnd) {
      stream.inboundEnd = false;
      stream.handler?.onData(noBytes, true);
    }
    const trailers = stream.inboundTrailers;
    if (trailers === null) return;
    stream.inboundTrailers = null;
    stream.handler?.onTrailers(trailers);
  }

  /** Drops what a handler did not take, and gives the window of the connection back. */
  drop(stream: Http2Stream): void {
    const { inbound } = stream;
    stream.inboundEnd = false;
    stream.inboundTrailers = null;
    if (inbound === null) return;
    stream.inbound = null;
    this.taken(inbound.length);
  }

  /** Bytes of a stream are taken, or are padding. */
  takenFrom(stream: Http2Stream, count: number): void {
    stream.credit += count;
    if (stream.credit * 2 < this.streamWindow || (stream.state & (REMOTE_END | CLOSED)) !== 0) return;
    const { credit } = stream;
    stream.receiveWindow += credit;
    stream.credit = 0;
    this.#user.onWindowOpened(stream.id, credit);
  }

  /** As `takenFrom`, for the connection. */
  taken(count: number): void {
    this.#credit += count;
    if (this.#credit * 2 < this.#settings.connectionWindow) return;
    const credit = this.#credit;
    this.#window += credit;
    this.#credit = 0;
    this.#user.onWindowOpened(0, credit);
  }
}
