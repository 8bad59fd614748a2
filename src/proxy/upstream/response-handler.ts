// The contract between a request and the upstream connection that carries it, the same for every protocol version.
// Calls come in order: informational*, head, data*, end; or reset at any point, after which nothing follows.

import type { Headers } from "#wire/http/headers.ts";
import type { HeadParser } from "#wire/http1/head-parser.ts";
import type { SocketFailure } from "../transport/socket-error.ts";
import type { SecuredBy } from "../transport/upstream-tls.ts";

/** Why an upstream exchange ended early. Integers, because the data path compares them per request. */
export const RESET_CONNECT_FAILURE = 1;
export const RESET_CONNECTION_CLOSED = 2;
/** As closed, on a reused connection that had sent no byte of the response: the keep-alive race. */
export const RESET_STALE = 3;
export const RESET_PROTOCOL_ERROR = 4;
/** A circuit breaker refused; `limit` of the failure's words names it. */
export const RESET_OVERFLOW = 5;
/** The cluster went away while the request waited for a connection. */
export const RESET_CLUSTER_GONE = 6;

export interface ResponseHandler {
  onUpstreamInformational(head: HeadParser): void;
  /** `end`: no body follows. The head belongs to the connection and stays valid until the exchange is released. */
  onUpstreamHead(head: HeadParser, end: boolean, isUpgraded: boolean): void;
  onUpstreamData(data: Buffer): void;
  onUpstreamEnd(trailers: Headers | null): void;
  onUpstreamReset(reason: number, failure: SocketFailure | null): void;
  /** Writing the request body may go on. */
  onUpstreamDrain(): void;
}

/** How the request body is framed. */
export const BODY_NONE = 0;
export const BODY_LENGTH = 1;
export const BODY_CHUNKED = 2;
/** Bytes after an Upgrade or CONNECT: no framing. */
export const BODY_TUNNEL = 3;

/** The sending half of an exchange. */
export interface UpstreamExchange {
  readonly localAddress: string;
  readonly securedBy: SecuredBy;
  /** Number of requests that this connection carried before. */
  readonly requestsBefore: number;
  start(method: string, target: string, headerText: string, framing: number, end: boolean): void;
  /** False asks to wait for `onUpstreamDrain`. */
  writeData(data: Buffer): boolean;
  endRequest(trailers: Headers | null): void;
  pauseReading(): void;
  resumeReading(): void;
  /** Ends the exchange: the connection goes back to its pool when it can carry another request, else it is closed. */
  release(): void;
}
