// What a connection needs from whoever owns it, and what it tells: see README.md.
import type { Http2CodecCounters } from "./codec-counters.ts";
import type { Http2Connection } from "./connection.ts";
import type { Http2Head } from "./head.ts";
import type { ByteSink } from "./output.ts";
import type { Http2Stream } from "./stream.ts";

export interface Http2Sink extends ByteSink {
  /** The connection has output: its `flush` has to be called before the turn ends. Called once until then. */
  flushSoon(connection: Http2Connection): void;
  /** Milliseconds, coarse: read for deadlines and rates. */
  now(): number;
  /** Shared by as many connections as are counted together. */
  readonly counters: Http2CodecCounters;
}

export interface Http2Events {
  /** Server: a request. Sets the stream's handler, unless all is said already. */
  onStream(stream: Http2Stream, head: Http2Head, isEnd: boolean): void;
  /** Server: a request whose head passes the limits and was dropped. Answer it here, or it is reset. */
  onHeadTooLarge(stream: Http2Stream): void;
  /** Server: a malformed request, refused before it became a stream. What is wrong is not in the head. */
  onMalformedRequest(head: Http2Head, words: string, isFieldFault: boolean): void;
  /** A stream was reset because of what the peer sent. For logs and counters; its handler is told by itself. */
  onStreamError(streamId: number, code: number, words: string): void;
  /** The peer takes no new streams. Those above `lastStreamId` were reset as refused before. */
  onGoaway(lastStreamId: number, code: number): void;
  /** The peer's SETTINGS are in force. */
  onSettings(): void;
  /** The connection is over; GOAWAY is on its way. Close the socket after the output was flushed. */
  onConnectionError(code: number, words: string): void;
  /** Draining, and no stream is left. */
  onDrained(): void;
}
