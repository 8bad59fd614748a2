// HOT: per DATA frame (bench/http2-codec.ts). Content on its way out (RFC 9113 5.2, 6.9): within the windows of stream and connection, as long as the
// socket takes it. What does not fit waits in the stream's queue, and streams that wait for the connection take turns.
import type { Headers } from "../http/headers.ts";
import { ByteQueue } from "./byte-queue.ts";
import { DATA, INITIAL_WINDOW, LARGEST_WINDOW } from "./frame.ts";
import type { Outlet } from "./outlet.ts";
import type { Http2Sink } from "./owner.ts";
import type { Http2Stream } from "./stream.ts";

/** Largest DATA frame, whatever the peer allows, so that streams take turns. */
const largestDataFrame = 64 * 1024;

export interface DataSenderUser {
  /** The last byte of the stream's content went out, with the end of the stream. */
  onContentSent(stream: Http2Stream): void;
  /** The last byte of the stream's content went out, and trailers end the stream. */
  onTrailersDue(stream: Http2Stream, trailers: Headers): void;
}

export class DataSender {
  framesSent = 0;
  readonly #user: DataSenderUser;
  readonly #outlet: Outlet;
  readonly #sink: Http2Sink;
  #window = INITIAL_WINDOW;
  #frameSize = 16384;
  #firstWaiting: Http2Stream | null = null;
  #lastWaiting: Http2Stream | null = null;

  constructor(user: DataSenderUser, outlet: Outlet, sink: Http2Sink) {
    this.#user = user;
    this.#outlet = outlet;
    this.#sink = sink;
  }

  /** The peer takes frames of that size. */
  setFrameSize(bytes: number): void {
    this.#frameSize = Math.min(bytes, largestDataFrame);
  }

  /** False asks to wait for the handler's `onDrain`. */
  send(stream: Http2Stream, data: Buffer, isEnd: boolean): boolean {
    const outbound = stream.outbound;
    let sent = 0;
    if (outbound === null || outbound.length === 0) {
      sent = this.#write(stream, data, isEnd);
      if (sent === data.length) {
        if (isEnd) {
          this.#user.onContentSent(stream);
          return true;
        }
        if (!this.#outlet.isBlocked) return true;
        stream.wantsDrain = true;
        this.#wait(stream);
        return false;
      }
      stream.outbound ??= new ByteQueue();
      stream.stalledSince = Math.max(1, this.#sink.now());
    }
    stream.outbound!.push(sent === 0 ? data : data.subarray(sent));
    this.#sink.counters.pendingSendBytes += data.length - sent;
    stream.outboundEnd = isEnd;
    stream.wantsDrain = true;
    // Without a window of its own the stream waits for the peer's WINDOW_UPDATE and not for the connection.
    if (stream.sendWindow > 0) this.#wait(stream);
    return false;
  }

  /** Writes as much as the windows and the socket allow and returns the number of bytes. */
  #write(stream: Http2Stream, data: Buffer, isEnd: boolean): number {
    const total = data.length;
    if (total === 0) {
      // An empty frame needs no window. Without an end it would say nothing.
      if (isEnd) this.#writeFrame(stream, data, 0, 0, true);
      return 0;
    }
    let at = 0;
    while (at < total && !this.#outlet.isBlocked) {
      const window = stream.sendWindow < this.#window ? stream.sendWindow : this.#window;
      if (window <= 0) break;
      let count = total - at;
      if (count > window) count = window;
      if (count > this.#frameSize) count = this.#frameSize;
      stream.sendWindow -= count;
      this.#window -= count;
      this.#writeFrame(stream, data, at, at + count, isEnd && at + count === total);
      at += count;
    }
    return at;
  }

  #writeFrame(stream: Http2Stream, data: Buffer, start: number, end: number, isEnd: boolean): void {
    this.#outlet.frames.dataFrame(DATA, stream.id, data, start, end, isEnd);
    this.framesSent++;
    this.#outlet.dataWritten();
  }

  #wait(stream: Http2Stream): void {
    if (stream.isWaiting) return;
    stream.isWaiting = true;
    stream.previous = this.#lastWaiting;
    stream.next = null;
    if (this.#lastWaiting === null) this.#firstWaiting = stream;
    else this.#lastWaiting.next = stream;
    this.#lastWaiting = stream;
  }

  #unlink(stream: Http2Stream): void {
    if (stream.previous === null) this.#firstWaiting = stream.next;
    else stream.previous.next = stream.next;
    if (stream.next === null) this.#lastWaiting = stream.previous;
    else stream.next.previous = stream.previous;
    stream.isWaiting = false;
    stream.previous = null;
    stream.next = null;
  }

  /** The stream is over: what it had to send is dropped. */
  forget(stream: Http2Stream): void {
    if (stream.isWaiting) this.#unlink(stream);
    if (stream.outbound !== null) this.#sink.counters.pendingSendBytes -= stream.outbound.length;
    stream.outbound = null;
    stream.outboundTrailers = null;
    stream.stalledSince = 0;
  }

  /** Lets the waiting streams send in turn, one frame each. */
  pump(): void {
    while (this.#firstWaiting !== null && !this.#outlet.isBlocked && this.#window > 0) {
      const stream = this.#firstWaiting;
      this.#unlink(stream);
      this.#sendQueued(stream);
    }
  }

  /** Sends one frame of what a stream has queued. */
  #sendQueued(stream: Http2Stream): void {
    const queue = stream.outbound;
    if (queue !== null && queue.length > 0) {
      const window = Math.min(stream.sendWindow, this.#window, this.#frameSize);
      if (window <= 0) return;
      const data = queue.shift(window);
      this.#sink.counters.pendingSendBytes -= data.length;
      const isLast = queue.length === 0;
      const isEnd = isLast && stream.outboundEnd && stream.outboundTrailers === null;
      stream.sendWindow -= data.length;
      this.#window -= data.length;
      this.#writeFrame(stream, data, 0, data.length, isEnd);
      if (!isLast) {
        stream.stalledSince = Math.max(1, this.#sink.now());
        if (stream.sendWindow > 0) this.#wait(stream);
        return;
      }
      stream.stalledSince = 0;
      if (stream.outboundEnd) {
        if (stream.outboundTrailers !== null) this.#user.onTrailersDue(stream, stream.outboundTrailers);
        else this.#user.onContentSent(stream);
        return;
      }
    }
    if (!stream.wantsDrain) return;
    if (this.#outlet.isBlocked) {
      this.#wait(stream);
      return;
    }
    stream.wantsDrain = false;
    stream.handler?.onDrain();
  }

  /** The connection's window opens. False: it would be larger than any window may be. */
  openWindow(increment: number): boolean {
    this.#window += increment;
    return this.#window <= LARGEST_WINDOW;
  }

  /** A stream's window opens or closes. False: it would be larger than any window may be. */
  changeWindow(stream: Http2Stream, change: number): boolean {
    stream.sendWindow += change;
    return stream.sendWindow <= LARGEST_WINDOW;
  }

  /** Lets a stream that waited for its own window send with the others. */
  windowOpened(stream: Http2Stream): void {
    if (stream.outbound !== null && stream.outbound.length > 0 && stream.sendWindow > 0) this.#wait(stream);
  }
}
