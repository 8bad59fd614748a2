// The contract between a request and the upstream connection that carries it, the same for every protocol version.
// Calls come in order: informational*, head, data*, end; or reset at any point, after which nothing follows.
import type { Headers } from "#wire/http/headers.ts";
import type { SocketFailure } from "../transport/socket-error.ts";
import type { SecuredBy } from "../transport/upstream-tls.ts";

/** Why an upstream exchange ended early. Integers, because the data path compares them per request. */
export const RESET_CONNECT_FAILURE = 1;
export const RESET_CONNECTION_CLOSED = 2;
/** As closed, on a reused connection that had sent no byte of the response: the keep-alive race. */
export const RESET_STALE = 3;
export const RESET_PROTOCOL_ERROR = 4;
/** A circuit breaker refused; the failure's words name the limit. */
export const RESET_OVERFLOW = 5;
/** The cluster went away while the request waited for a connection. */
export const RESET_CLUSTER_GONE = 6;
/** The server ended the stream and not the connection (RST_STREAM). */
export const RESET_REMOTE = 7;
/** The server did not look at the request (REFUSED_STREAM, or above the last stream of a GOAWAY). */
export const RESET_REFUSED = 8;

/** A response head. It belongs to the connection and stays valid until the exchange is released. */
export interface ResponseHead {
  readonly status: number;
  /** Empty where the protocol has none. */
  readonly reason: string;
  readonly headers: Headers;
  /** -1 when the head does not say. */
  readonly contentLength: number;
}

export interface ResponseHandler {
  onUpstreamInformational(head: ResponseHead): void;
  /** `end`: no body follows. */
  onUpstreamHead(head: ResponseHead, end: boolean, isUpgraded: boolean): void;
  onUpstreamData(data: Buffer): void;
  onUpstreamEnd(trailers: Headers | null): void;
  onUpstreamReset(reason: number, failure: SocketFailure | null): void;
  /** Writing the request body may go on. */
  onUpstreamDrain(): void;
}

/** How a body is framed. */
export const BODY_NONE = 0;
export const BODY_LENGTH = 1;
export const BODY_CHUNKED = 2;
/** Bytes after an Upgrade or CONNECT: no framing. */
export const BODY_TUNNEL = 3;

/** A request head on its way out. Streams are this themselves. */
export interface UpstreamRequest {
  readonly method: string;
  readonly scheme: string;
  readonly authority: string;
  /** With query; empty for CONNECT. */
  readonly path: string;
  readonly headers: Headers;
  /** Of an Upgrade; empty without one. */
  readonly upgrade: string;
  /** BODY_*. */
  readonly requestFraming: number;
}

/** One request and its response on an upstream connection. */
export interface UpstreamExchange {
  readonly localAddress: string;
  /** As access logs write it; empty for bytes without HTTP. */
  readonly httpVersion: "HTTP/1.1" | "HTTP/2" | "";
  readonly securedBy: SecuredBy;
  /** Number of requests that this connection carried before. */
  readonly requestsBefore: number;
  /** The server can refuse one request of the connection before it looks at it. */
  readonly mayBeRefused: boolean;
  /** Binds the exchange to who it answers to. */
  begin(handler: ResponseHandler): void;
  /** Sends the head. `end`: there is no body. */
  start(request: UpstreamRequest, end: boolean): void;
  /** False asks to wait for `onUpstreamDrain`. */
  writeData(data: Buffer): boolean;
  endRequest(trailers: Headers | null): void;
  pauseReading(): void;
  resumeReading(): void;
  /** Ends the exchange: the connection goes on with other ones where it can, else it is closed. */
  release(): void;
}
