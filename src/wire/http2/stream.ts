// HOT: per frame (bench/http2-codec.ts). One stream of a connection (RFC 9113 5). The connection keeps its state here; whoever uses the stream
// calls the methods and is told through the handler.
import type { Headers } from "../http/headers.ts";
import type { ByteQueue } from "./byte-queue.ts";
import type { Http2Connection } from "./connection.ts";
import type { Http2Head } from "./head.ts";

export interface Http2StreamHandler {
  /** Client: the final response head. `isEnd`: nothing follows it. */
  onHeaders(head: Http2Head, isEnd: boolean): void;
  /** Client: a 1xx head. */
  onInformational(head: Http2Head): void;
  /** The bytes are the handler's to keep. They count as taken when this returns; `pauseReading` stops it. */
  onData(data: Buffer, isEnd: boolean): void;
  /** The message is complete. */
  onTrailers(trailers: Headers): void;
  /** The stream is over before its end, by a reset of the peer or because of what it sent: `failure` has the words. */
  onReset(code: number, byPeer: boolean): void;
  /** Sending may go on after `sendData` had returned false. */
  onDrain(): void;
}

/** Bits of `state`. */
export const HEAD_SENT = 1;
export const LOCAL_END = 2;
export const HEAD_RECEIVED = 4;
export const REMOTE_END = 8;
export const CLOSED = 16;
/** Client: the request was a HEAD, so the response has no content. */
export const IS_HEAD = 32;
/** What the peer still sends is dropped. */
export const IGNORES_INPUT = 64;
/** The request was a CONNECT. */
export const IS_CONNECT = 128;
/** It was answered with 2xx: both sides carry DATA and nothing else (RFC 9113 8.5). */
export const IS_TUNNEL = 256;

export class Http2Stream {
  id = 0;
  handler: Http2StreamHandler | null = null;
  /** Why the stream ended before its end, in words. */
  failure = "";
  readonly connection: Http2Connection;
  /** From here on for the connection only. */
  state = 0;
  sendWindow: number;
  receiveWindow: number;
  /** Bytes taken by the handler that the peer was not told of. */
  credit = 0;
  /** Content of the message still to come, or -1. */
  expectedBytes = -1;
  isPaused = false;
  inbound: ByteQueue | null = null;
  inboundEnd = false;
  inboundTrailers: Headers | null = null;
  outbound: ByteQueue | null = null;
  outboundEnd = false;
  outboundTrailers: Headers | null = null;
  wantsDrain = false;
  /** Place in the list of streams that wait for the connection. */
  isWaiting = false;
  previous: Http2Stream | null = null;
  next: Http2Stream | null = null;
  /** When the stream began to wait for a window or the socket, or 0. */
  stalledSince = 0;
  openedAt = 0;

  constructor(connection: Http2Connection, sendWindow: number, receiveWindow: number) {
    this.connection = connection;
    this.sendWindow = sendWindow;
    this.receiveWindow = receiveWindow;
  }

  /** True once nothing more can be sent or received. */
  get isClosed(): boolean {
    return (this.state & CLOSED) !== 0;
  }

  /** True once our side is complete. */
  get isLocalEnd(): boolean {
    return (this.state & LOCAL_END) !== 0 || this.outboundEnd;
  }

  /** True once the peer's side is complete. */
  get isRemoteEnd(): boolean {
    return (this.state & REMOTE_END) !== 0;
  }

  /** Bytes given to `sendData` that are still here. */
  get queuedBytes(): number {
    return this.outbound === null ? 0 : this.outbound.length;
  }

  /** Server: sends the final head, or an informational one (status below 200, `isEnd` false). */
  sendHead(status: number, headers: Headers, isEnd: boolean): void {
    this.connection.sendHead(this, status, headers, isEnd);
  }

  /** Sends content; what does not fit the windows is kept. False asks to wait for `onDrain`. */
  sendData(data: Buffer, isEnd: boolean): boolean {
    return this.connection.sendData(this, data, isEnd);
  }

  /** Ends our side with trailers. The list must not change afterwards. */
  sendTrailers(trailers: Headers): void {
    this.connection.sendTrailers(this, trailers);
  }

  /** Ends the stream at once. The handler is not told. */
  reset(code: number): void {
    this.connection.resetStream(this, code);
  }

  /** Keeps what arrives from now on; the peer may send as much as the window holds. */
  pauseReading(): void {
    this.isPaused = true;
  }

  /** Hands on what was kept, and goes on. */
  resumeReading(): void {
    if (!this.isPaused) return;
    this.isPaused = false;
    this.connection.deliver(this);
  }
}
