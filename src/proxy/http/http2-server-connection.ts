// HOT: per message. The downstream HTTP/2 side of one connection: each of its streams becomes a stream of the proxy. The
// codec (wire/http2) owns the rules of the protocol; this gives it a socket, limits in time, and the way to the filters.
import { randomBytes } from "node:crypto";
import { CONTENT_LENGTH, HOST } from "#wire/http/header-names.ts";
import { Headers } from "#wire/http/headers.ts";
import { Http2Connection, type Http2Events, type Http2Sink, SERVER } from "#wire/http2/connection.ts";
import { INTERNAL_ERROR, NO_ERROR } from "#wire/http2/frame.ts";
import type { Http2Head } from "#wire/http2/head.ts";
import type { Http2Stream, Http2StreamHandler } from "#wire/http2/stream.ts";
import type { ConnectionInfo } from "../transport/connection-info.ts";
import type { Flushable } from "../transport/event-loop.ts";
import type { SocketFailure } from "../transport/socket-error.ts";
import type { Transport, TransportUser } from "../transport/transport.ts";
import { BODY_CHUNKED, BODY_LENGTH, BODY_NONE, BODY_TUNNEL } from "../upstream/exchange.ts";
import { reasonHeader } from "../upstream/http2-connection.ts";
import type { HttpConnectionManager } from "./connection-manager.ts";
import { codecError, reasonPhrase } from "./local-replies.ts";
import { prepareRequest } from "./request-head.ts";
import type { ResponseSink } from "./response-sink.ts";
import { type CodecConnection, Stream } from "./stream.ts";
import { enforceDeadlines } from "./stream-deadlines.ts";

/** How long a client may go on sending a request that was answered already. */
const lingerMs = 1000;

const nothing: Buffer = Buffer.alloc(0);

/** A client that never sends its preface holds a socket: this bound stands even where the configuration sets none. */
const defaultPrefaceMs = 60_000;

export class Http2ServerConnection implements TransportUser, CodecConnection, Http2Sink, Http2Events, Flushable {
  readonly transport: Transport;
  readonly info: ConnectionInfo;
  readonly manager: HttpConnectionManager;
  clientCertificateElement: string | undefined = undefined;
  readonly #connection: Http2Connection;
  readonly #onClosed: (connection: Http2ServerConnection) => void;
  readonly #streams = new Set<Http2ServerStream>();
  readonly #lingering = new Map<Http2ServerStream, number>();
  readonly #startTime: number;
  #idleSince: number;
  #requests = 0;

  constructor(
    manager: HttpConnectionManager,
    transport: Transport,
    info: ConnectionInfo,
    onClosed: (connection: Http2ServerConnection) => void,
  ) {
    this.manager = manager;
    this.transport = transport;
    this.info = info;
    this.#onClosed = onClosed;
    this.#startTime = transport.loop.now;
    this.#idleSince = this.#startTime;
    const { config } = manager;
    const { settings } = config.http2;
    this.#connection = new Http2Connection(
      SERVER,
      {
        ...settings,
        // Only another Outrigger proxy offers this name without `h2`: see transport/downstream-tls.ts.
        preserveHeaderCase: info.negotiatedAlpn === "istio-h2",
        limits: {
          ...settings.limits,
          maxHeaderBytes: config.maxRequestHeadersBytes,
          maxHeaderCount: config.maxRequestHeadersCount,
        },
      },
      this,
      this,
    );
    this.#connection.start();
    transport.setLimits(0, config.streamIdleTimeoutMs);
    transport.loop.sweepAlways(this);
  }

  get preservesCase(): boolean {
    return this.#connection.settings.preserveHeaderCase;
  }

  /** Asks the client to open no more streams; the connection ends with the last one. */
  drain(): void {
    this.#connection.drain();
  }

  /** Closes at once; requests in flight are lost. */
  destroy(): void {
    this.transport.destroy();
  }

  // The codec's sink.

  writeBytes(bytes: Buffer): boolean {
    return this.transport.writeBytes(bytes);
  }

  flushSoon(): void {
    this.transport.loop.flushAfterPoll(this);
  }

  now(): number {
    return this.transport.loop.now;
  }

  flush(): void {
    if (!this.transport.isClosed) this.#connection.flush();
  }

  // The codec's events.

  onStream(stream: Http2Stream, head: Http2Head, isEnd: boolean): void {
    const served = new Http2ServerStream(this, stream, head.headers);
    this.#begin(served);
    served.start(head, isEnd);
  }

  onHeadTooLarge(stream: Http2Stream): void {
    const served = new Http2ServerStream(this, stream, new Headers());
    this.#begin(served);
    served.refuse(431, "request_headers_too_large", "the head is larger than the limit");
  }

  #begin(served: Http2ServerStream): void {
    this.#streams.add(served);
    const limit = this.manager.config.maxRequestsPerConnection;
    if (++this.#requests === limit || this.manager.environment.isDraining()) this.drain();
  }

  /** Watches a stream that was answered before its request was complete. */
  linger(served: Http2ServerStream, deadline: number): void {
    this.#lingering.set(served, deadline);
  }

  /** A stream is over. */
  ended(served: Http2ServerStream): void {
    this.#streams.delete(served);
    if (this.#streams.size === 0) this.#idleSince = this.transport.loop.now;
  }

  onStreamError(): void {}
  onGoaway(): void {}
  onSettings(): void {}

  onConnectionError(code: number, words: string): void {
    this.manager.environment.log.info(
      `closed ${this.info.sourceAddress} → ${this.info.destinationAddress}: HTTP/2 error ${code}: ${words}`,
    );
    this.#close();
  }

  onDrained(): void {
    this.#close();
  }

  #close(): void {
    this.flush();
    this.transport.closeGracefully(this.manager.config.delayedCloseTimeoutMs || undefined);
  }

  // The socket's events.

  onTransportData(data: Buffer): void {
    this.#connection.receive(data);
  }

  onTransportEnd(): void {
    this.#connection.connectionLost();
    this.transport.closeGracefully();
  }

  onTransportDrain(): void {
    this.#connection.onSinkDrain();
  }

  onTransportClose(_failure: SocketFailure | null): void {
    this.transport.loop.stopSweeping(this);
    this.#connection.connectionLost();
    this.#onClosed(this);
  }

  sweep(now: number): void {
    const { idleTimeoutMs, maxConnectionDurationMs, requestHeadersTimeoutMs } = this.manager.config;
    this.#connection.sweep(now);
    if (this.transport.isStalled(now)) {
      this.transport.destroy();
      return;
    }
    if (maxConnectionDurationMs > 0 && now - this.#startTime >= maxConnectionDurationMs) this.drain();
    for (const [served, deadline] of this.#lingering) {
      if (served.isSettled(now, deadline)) this.#lingering.delete(served);
    }
    for (const { stream } of this.#streams) enforceDeadlines(stream, now);
    const prefaceMs = requestHeadersTimeoutMs > 0 ? requestHeadersTimeoutMs : defaultPrefaceMs;
    if (!this.#connection.isReady && now - this.#startTime >= prefaceMs) {
      this.transport.destroy();
    } else if (idleTimeoutMs > 0 && this.#streams.size === 0 && now - this.#idleSince >= idleTimeoutMs) {
      this.#connection.close(NO_ERROR);
      this.#close();
    }
  }
}

class Http2ServerStream implements ResponseSink, Http2StreamHandler {
  readonly isHttp1 = false;
  readonly stream: Stream;
  readonly #connection: Http2ServerConnection;
  readonly #http2: Http2Stream;
  #isOver = false;

  constructor(connection: Http2ServerConnection, http2: Http2Stream, headers: Headers) {
    this.#connection = connection;
    this.#http2 = http2;
    http2.handler = this;
    const stream = new Stream(connection.manager, this, connection.info, connection, headers);
    stream.isHttp2 = true;
    this.stream = stream;
  }

  start(head: Http2Head, isEnd: boolean): void {
    const { stream } = this;
    stream.method = head.method;
    stream.originalPath = head.path;
    stream.path = head.path;
    // HTTP/1 applications read the authority in the Host header.
    if (!stream.headers.hasId(HOST)) stream.headers.addKnown(HOST, "host", head.authority);
    if (head.method === "CONNECT") {
      this.#startTunnel(head);
    } else if (isEnd) {
      stream.requestFraming = BODY_NONE;
      stream.requestEnded = true;
    } else {
      stream.requestFraming = head.contentLength >= 0 ? BODY_LENGTH : BODY_CHUNKED;
    }
    const refused = prepareRequest(stream, 1, 0);
    if (refused !== null) stream.sendLocalReply(refused, `the request is refused: ${refused.details}`, []);
    else stream.start();
  }

  #startTunnel(head: Http2Head): void {
    const { stream } = this;
    stream.requestFraming = BODY_TUNNEL;
    if (head.protocol === "") {
      stream.originalPath = head.authority;
      return;
    }
    // RFC 8441: an extended CONNECT is the Upgrade of HTTP/1, which needs a key that HTTP/2 does without.
    stream.method = "GET";
    stream.upgrade = head.protocol;
    if (head.protocol === "websocket" && !stream.headers.has("sec-websocket-key")) {
      stream.headers.add("sec-websocket-key", randomBytes(16).toString("base64"));
    }
  }

  /** Answers what is no request for the filters. */
  refuse(status: number, details: string, words: string): void {
    const { stream } = this;
    stream.requestEnded = true;
    const from = this.#connection.info.sourceAddress;
    stream.sendLocalReply(codecError(status, details, words), `${from} sent a request that is refused: ${words}`, []);
  }

  // The proxy's side: what is sent to the client.

  sendInformational(_stream: Stream, status: number, headers: Headers): void {
    // 101 does not exist in HTTP/2 (RFC 9113 8.6).
    if (status !== 101) this.#http2.sendHead(status, headers, false);
  }

  sendHead(stream: Stream, end: boolean): void {
    const headers = stream.responseHeaders!;
    if (stream.isTunnel) {
      headers.removeId(CONTENT_LENGTH);
      headers.remove("sec-websocket-accept");
    }
    const { responseReason } = stream;
    const status = stream.isTunnel && stream.responseStatus === 101 ? 200 : stream.responseStatus;
    if (this.#connection.preservesCase && responseReason !== reasonPhrase(status)) {
      headers.add(reasonHeader, responseReason);
    }
    this.#http2.sendHead(status, headers, end);
  }

  sendData(_stream: Stream, data: Buffer): boolean {
    return this.#http2.sendData(data, false);
  }

  sendEnd(_stream: Stream, trailers: Headers | null): void {
    if (this.#http2.isLocalEnd) return;
    if (trailers === null) this.#http2.sendData(nothing, true);
    else this.#http2.sendTrailers(trailers);
  }

  becomeTunnel(): void {}

  reset(): void {
    this.#http2.reset(INTERNAL_ERROR);
  }

  pauseRequest(): void {
    this.#http2.pauseReading();
  }

  resumeRequest(): void {
    this.#http2.resumeReading();
  }

  streamDone(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#connection.ended(this);
    const http2 = this.#http2;
    if (http2.isClosed) return;
    // RFC 9113 8.1: who answered early may say that the rest of the request is not wanted. Some clients take that for
    // a failure (curl 7.88), so a short rest is read and dropped first.
    http2.resumeReading();
    if (!http2.isLocalEnd && http2.queuedBytes === 0) http2.reset(INTERNAL_ERROR);
    else this.#connection.linger(this, this.#connection.now() + lingerMs);
  }

  /** Ends a stream whose answer is out and whose request still comes. Called by the sweep until it is true. */
  isSettled(now: number, deadline: number): boolean {
    const http2 = this.#http2;
    if (http2.isClosed) return true;
    if (http2.queuedBytes > 0 || now < deadline) return false;
    http2.reset(http2.isLocalEnd ? NO_ERROR : INTERNAL_ERROR);
    return true;
  }

  // The client's side: what it sent.

  /** Only clients get response heads. */
  onHeaders(): void {}
  onInformational(): void {}

  onData(data: Buffer, isEnd: boolean): void {
    if (this.#isOver) return;
    if (data.length > 0) this.stream.onRequestData(data);
    if (isEnd) this.stream.onRequestEnd(null);
  }

  onTrailers(trailers: Headers): void {
    if (!this.#isOver) this.stream.onRequestEnd(trailers);
  }

  onReset(_code: number, byPeer: boolean): void {
    if (this.#isOver) return;
    const { stream } = this;
    if (byPeer) {
      stream.onClientGone("http2.remote_reset");
      return;
    }
    stream.addFlag("DPE");
    stream.cause = `${this.#connection.info.sourceAddress} broke the rules of HTTP/2: ${this.#http2.failure}`;
    stream.onClientGone("http2.violation.of.messaging.rule");
  }

  onDrain(): void {
    if (!this.#isOver) this.stream.onSinkDrain();
  }
}
