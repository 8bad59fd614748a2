// The sending half of a downstream codec, the same for every protocol version. A stream calls it in order: informational*,
// head, data*, end; or `reset`.
import type { Headers } from "#wire/http/headers.ts";
import type { Stream } from "./stream.ts";

export interface ResponseSink {
  readonly isHttp1: boolean;
  sendInformational(stream: Stream, status: number, headers: Headers): void;
  /** Sends the head. `end`: no body follows. */
  sendHead(stream: Stream, end: boolean): void;
  /** False asks to wait for `stream.onSinkDrain`. */
  sendData(stream: Stream, data: Buffer): boolean;
  sendEnd(stream: Stream, trailers: Headers | null): void;
  /** From here on both directions carry raw bytes. */
  becomeTunnel(stream: Stream): void;
  /** Ends the exchange in a way that the client can't take for a complete response. */
  reset(stream: Stream): void;
  pauseRequest(stream: Stream): void;
  resumeRequest(stream: Stream): void;
  /** The stream is over; the codec may go on with the next one. */
  streamDone(stream: Stream): void;
}

/** For streams that end without anybody to answer. */
export const noSink: ResponseSink = {
  isHttp1: false,
  sendInformational: () => {},
  sendHead: () => {},
  sendData: () => true,
  sendEnd: () => {},
  becomeTunnel: () => {},
  reset: () => {},
  pauseRequest: () => {},
  resumeRequest: () => {},
  streamDone: () => {},
};
