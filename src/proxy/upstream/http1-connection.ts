// HOT: per response. An HTTP/1.1 client connection: one exchange at a time, kept alive between them. It parses the
// response, checks that nothing unasked arrives, and tells the exchange exactly once how it ended.
//
// States: IDLE (in the pool) → ACTIVE (an exchange) → IDLE or CLOSED; ACTIVE → TUNNEL after 101 or CONNECT 2xx → CLOSED.

import { CONTENT_LENGTH, KEEP_ALIVE, TRANSFER_ENCODING } from "#wire/http/header-names.ts";
import type { Headers } from "#wire/http/headers.ts";
import { BodyDecoder, type BodySink } from "#wire/http1/body-decoder.ts";
import type { Http1CodecCounters } from "#wire/http1/codec-counters.ts";
import {
  CONNECTION_CLOSE,
  CONNECTION_KEEP_ALIVE,
  type HeadLimits,
  HeadParser,
  RESPONSE,
} from "#wire/http1/head-parser.ts";
import { NEED_MORE, parseErrorMeaning } from "#wire/http1/parse-error.ts";
import { formatAddress, plainIp } from "../transport/connection-info.ts";
import { FailureKind, peerClosed, type SocketFailure } from "../transport/socket-error.ts";
import type { Transport, TransportUser } from "../transport/transport.ts";
import type { SecuredBy } from "../transport/upstream-tls.ts";

import {
  BODY_CHUNKED,
  BODY_NONE,
  BODY_TUNNEL,
  RESET_CONNECTION_CLOSED,
  RESET_PROTOCOL_ERROR,
  RESET_STALE,
  type ResponseHandler,
  type UpstreamExchange,
  type UpstreamRequest,
} from "./exchange.ts";
import type { HttpPool } from "./http-pool.ts";

const IDLE = 0;
const ACTIVE = 1;
const TUNNEL = 2;
const CLOSED = 3;

const chunkedLine = "transfer-encoding: chunked\r\n";
/** Informational responses before one final response: more is a flood. */
const maxInformational = 64;

export class UpstreamHttp1Connection implements TransportUser, BodySink, UpstreamExchange {
  readonly transport: Transport;
  readonly #pool: HttpPool;
  readonly #head: HeadParser;
  readonly #body: BodyDecoder;
  #handler: ResponseHandler | null = null;
  readonly #counters: Http1CodecCounters;
  #state = IDLE;
  #framing = 0;
  #isHeadRequest = false;
  #isConnect = false;
  #requestDone = false;
  #responseDone = false;
  #inHead = true;
  #sawResponseBytes = false;
  #informational = 0;
  #mayReuse = true;
  #localAddress: string | null = null;
  /** When it was connected. */
  readonly startTime: number;
  requestsBefore = 0;
  readonly httpVersion = "HTTP/1.1";
  readonly mayBeRefused = false;
  /** When the pool closes the connection if it is still idle. */
  idleDeadline = 0;
  /** What the server's `keep-alive: timeout=` allows, or 0. */
  serverIdleMs = 0;

  readonly securedBy: SecuredBy;

  constructor(pool: HttpPool, transport: Transport, securedBy: SecuredBy, limits: HeadLimits) {
    this.#pool = pool;
    this.#counters = pool.codecs.http1;
    this.#head = new HeadParser(RESPONSE, limits);
    this.#body = new BodyDecoder(limits);
    this.securedBy = securedBy;
    this.transport = transport;
    this.startTime = transport.loop.now;
    // A server may answer early, close, and so reset us while the body is still on its way.
    transport.outliveFailedWrites();
  }

  get localAddress(): string {
    this.#localAddress ??= formatAddress(
      plainIp(this.transport.socket.localAddress),
      this.transport.socket.localPort ?? 0,
    );
    return this.#localAddress;
  }

  get isUsable(): boolean {
    return this.#state === IDLE && !this.transport.isClosed;
  }

  /** Whether the connection has existed for that long. */
  isOlderThan(ageMs: number): boolean {
    return this.transport.loop.now - this.startTime >= ageMs;
  }

  /** Binds the next exchange. */
  begin(handler: ResponseHandler): void {
    this.#handler = handler;
    this.#state = ACTIVE;
    this.#requestDone = false;
    this.#responseDone = false;
    this.#inHead = true;
    this.#sawResponseBytes = false;
    this.#informational = 0;
    this.#mayReuse = true;
    this.#head.reset();
  }

  start(request: UpstreamRequest, end: boolean): void {
    const { method, path, headers, upgrade, requestFraming } = request;
    this.#isHeadRequest = method === "HEAD";
    this.#isConnect = method === "CONNECT";
    this.#framing = requestFraming;
    this.#requestDone = end;
    let text = headers.serialize();
    // RFC 9110 8.6: without content, but with a method that has some meaning for it. HTTP/2 clients do not say it.
    if (requestFraming === BODY_NONE && hasContent(method) && !headers.hasId(CONTENT_LENGTH)) {
      text += "content-length: 0\r\n";
    }
    if (upgrade !== "") text += `connection: upgrade\r\nupgrade: ${upgrade}\r\n`;
    else if (requestFraming === BODY_CHUNKED && !headers.hasId(TRANSFER_ENCODING)) text += chunkedLine;
    this.transport.write(`${method} ${path === "" ? request.authority : path} HTTP/1.1\r\n${text}\r\n`);
  }

  writeData(data: Buffer): boolean {
    if (this.#state !== ACTIVE && this.#state !== TUNNEL) return true;
    if (this.#framing !== BODY_CHUNKED) return this.transport.writeBytes(data);
    if (data.length === 0) return true;
    this.transport.write(`${data.length.toString(16)}\r\n`);
    this.transport.writeBytes(data);
    return this.transport.write("\r\n");
  }

  endRequest(trailers: Headers | null): void {
    if (this.#requestDone) return;
    this.#requestDone = true;
    if (this.#framing === BODY_CHUNKED) {
      this.transport.write(trailers === null ? "0\r\n\r\n" : `0\r\n${trailers.serialize()}\r\n`);
    } else if (this.#framing === BODY_TUNNEL) {
      this.transport.end();
    }
  }

  pauseReading(): void {
    this.transport.pause();
  }

  resumeReading(): void {
    this.transport.resume();
  }

  release(): void {
    if (this.#handler === null) return;
    this.#handler = null;
    if (this.#state === CLOSED) return;
    this.requestsBefore++;
    if (this.#state === ACTIVE && this.#requestDone && this.#responseDone && this.#mayReuse) {
      this.#state = IDLE;
      this.transport.resume();
      this.#pool.released(this);
      return;
    }
    this.#state = CLOSED;
    this.#pool.closed(this);
    this.transport.destroy();
  }

  /** Closes an idle connection. */
  close(): void {
    if (this.#state === CLOSED) return;
    this.#state = CLOSED;
    this.#pool.closed(this);
    this.transport.destroy();
  }

  onTransportData(data: Buffer): void {
    if (this.#state === TUNNEL) {
      this.#handler?.onUpstreamData(data);
      return;
    }
    if (this.#state !== ACTIVE || this.#responseDone) {
      // Nobody asked: what it says could be taken for the answer to the next request.
      this.#mayReuse = false;
      if (this.#state === IDLE) this.close();
      return;
    }
    this.#sawResponseBytes = true;
    this.#consume(data);
  }

  #consume(data: Buffer): void {
    const end = data.length;
    const handler = this.#handler;
    let at = 0;
    while (at < end && this.#handler === handler && handler !== null) {
      if (this.#inHead) {
        const result = this.#head.parse(data, at, end);
        if (result === NEED_MORE) return;
        if (result < 0) {
          this.#protocolError(result);
          return;
        }
        at = result;
        if (!this.#headDone(handler, at < end)) return;
        if (this.#state === TUNNEL) {
          if (at < end && this.#handler === handler) handler.onUpstreamData(data.subarray(at));
          return;
        }
        continue;
      }
      const result = this.#body.decode(data, at, end, this);
      if (result < 0) {
        this.#protocolError(result);
        return;
      }
      at = result;
      if (this.#body.done && this.#handler === handler) {
        if (at < end) this.#mayReuse = false;
        this.#complete(this.#body.trailers);
        return;
      }
    }
  }

  onBodyData(data: Buffer): void {
    this.#handler?.onUpstreamData(data);
  }

  /** False when the exchange is over. */
  #headDone(handler: ResponseHandler, hasMore: boolean): boolean {
    const head = this.#head;
    const status = head.status;
    if (status < 200) {
      if (status === 101) {
        if (this.#framing !== BODY_TUNNEL) {
          this.#protocolError(0);
          return false;
        }
        this.#becomeTunnel(handler);
        return true;
      }
      if (++this.#informational > maxInformational) {
        this.#protocolError(0);
        return false;
      }
      handler.onUpstreamInformational(head);
      if (this.#handler !== handler) return false;
      head.reset();
      return true;
    }
    if (this.#isConnect && status < 300) {
      this.#becomeTunnel(handler);
      return true;
    }
    const keepsAlive =
      head.minorVersion === 1
        ? (head.connectionTokens & CONNECTION_CLOSE) === 0
        : (head.connectionTokens & CONNECTION_KEEP_ALIVE) !== 0;
    if (!keepsAlive || this.#framing === BODY_TUNNEL) this.#mayReuse = false;
    else if (head.headers.hasId(KEEP_ALIVE)) this.serverIdleMs = keepAliveTimeoutMs(head.headers.getId(KEEP_ALIVE));
    this.#inHead = false;
    if (this.#isHeadRequest || status === 204 || status === 304) this.#body.startEmpty();
    else if (head.chunked) this.#body.startChunked();
    else if (head.contentLength >= 0) this.#body.startLength(head.contentLength);
    else {
      this.#body.startUntilClose();
      this.#mayReuse = false;
    }
    const isEmpty = this.#body.done;
    if (isEmpty) {
      this.#responseDone = true;
      if (hasMore) this.#mayReuse = false;
    }
    handler.onUpstreamHead(head, isEmpty, false);
    if (isEmpty && this.#handler === handler) handler.onUpstreamEnd(null);
    return !isEmpty && this.#handler === handler;
  }

  #becomeTunnel(handler: ResponseHandler): void {
    this.#state = TUNNEL;
    this.#mayReuse = false;
    handler.onUpstreamHead(this.#head, false, true);
  }

  #complete(trailers: Headers | null): void {
    this.#responseDone = true;
    this.#handler?.onUpstreamEnd(trailers);
  }

  #protocolError(code: number): void {
    this.#counters.protocolErrors++;
    const meaning = parseErrorMeaning(code);
    this.#fail(RESET_PROTOCOL_ERROR, {
      kind: FailureKind.Closed,
      code: meaning.details,
      transportReason: "",
      words: `the response is not valid HTTP/1.1: ${meaning.words}`,
    });
  }

  #fail(reason: number, failure: SocketFailure | null): void {
    const handler = this.#handler;
    this.#handler = null;
    if (this.#state !== CLOSED) {
      this.#state = CLOSED;
      this.#pool.closed(this);
      this.transport.destroy();
    }
    handler?.onUpstreamReset(reason, failure);
  }

  onTransportEnd(): void {
    if (this.#state === TUNNEL) {
      this.#complete(null);
      return;
    }
    if (this.#state === ACTIVE && !this.#inHead && this.#body.untilClose) {
      this.#body.finishAtClose();
      this.#complete(null);
      return;
    }
    if (this.#state === ACTIVE && this.#responseDone) {
      this.#mayReuse = false;
      return;
    }
    if (this.#state === ACTIVE) this.#fail(this.#closeReason(), peerClosed);
    else this.close();
  }

  onTransportDrain(): void {
    this.#handler?.onUpstreamDrain();
  }

  onTransportClose(failure: SocketFailure | null): void {
    if (this.#state === CLOSED) return;
    const active = this.#state !== IDLE;
    this.#state = CLOSED;
    this.#pool.closed(this);
    if (!active) return;
    if (this.#responseDone) {
      this.#mayReuse = false;
      return;
    }
    const handler = this.#handler;
    this.#handler = null;
    handler?.onUpstreamReset(this.#closeReason(), failure ?? peerClosed);
  }

  #closeReason(): number {
    return this.requestsBefore > 0 && !this.#sawResponseBytes ? RESET_STALE : RESET_CONNECTION_CLOSED;
  }
}

function hasContent(method: string): boolean {
  return method === "POST" || method === "PUT" || method === "PATCH";
}

/** Reads `timeout=5`, less a second of safety; 0 when there is none. */
function keepAliveTimeoutMs(value: string | undefined): number {
  const match = value === undefined ? null : /(?:^|[,\s])timeout=(\d{1,6})(?:$|[,\s])/.exec(value);
  if (match === null) return 0;
  return Math.max(1, Number(match[1]) * 1000 - 1000);
}
