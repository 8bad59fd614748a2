// HOT: per request. An HTTP/2 client connection of a pool: many exchanges at a time, each a stream. What all of them
// write in one turn of the event loop goes out together, which is what makes a hop between two sidecars cheap.
import { createHash } from "node:crypto";
import type { Headers } from "#wire/http/headers.ts";
import type { Http2CodecCounters } from "#wire/http2/codec-counters.ts";
import { CLIENT, Http2Connection } from "#wire/http2/connection.ts";
import { CANCEL, ENHANCE_YOUR_CALM, errorName, NO_ERROR, REFUSED_STREAM } from "#wire/http2/frame.ts";
import type { Http2Head, PseudoHeaders } from "#wire/http2/head.ts";
import type { Http2Events, Http2Sink } from "#wire/http2/owner.ts";
import type { Http2Settings } from "#wire/http2/settings.ts";
import type { Http2Stream, Http2StreamHandler } from "#wire/http2/stream.ts";
import type { KeepaliveConfig } from "../config/http2.ts";
import { formatAddress, plainIp } from "../transport/connection-info.ts";
import type { Flushable } from "../transport/event-loop.ts";
import { FailureKind, peerClosed, type SocketFailure } from "../transport/socket-error.ts";
import type { Transport, TransportUser } from "../transport/transport.ts";
import type { SecuredBy } from "../transport/upstream-tls.ts";
import {
  BODY_TUNNEL,
  RESET_CONNECTION_CLOSED,
  RESET_PROTOCOL_ERROR,
  RESET_REFUSED,
  RESET_REMOTE,
  RESET_STALE,
  type ResponseHandler,
  type ResponseHead,
  type UpstreamExchange,
  type UpstreamRequest,
} from "./exchange.ts";
import type { HttpPool } from "./http-pool.ts";

/** Carries the reason phrase of an HTTP/1 application between two Outrigger proxies, where it is not the usual one. */
export const reasonHeader = "x-outrigger-reason";

/** Informational responses before one final response: more is a flood. */
const maxInformational = 64;

const nothing: Buffer = Buffer.alloc(0);

export class UpstreamHttp2Connection implements TransportUser, Http2Sink, Http2Events, Flushable {
  readonly transport: Transport;
  readonly securedBy: SecuredBy;
  readonly counters: Http2CodecCounters;
  readonly #pool: HttpPool;
  readonly #connection: Http2Connection;
  readonly #keepalive: KeepaliveConfig;
  readonly #mostHeldBytes: number;
  #localAddress: string | null = null;
  #isClosed = false;
  #lastActivity: number;
  /** When it was connected. */
  readonly startTime: number;
  /** Exchanges that may not begin before the peer's SETTINGS are here. */
  #waiting: Http2Exchange[] = [];
  /** Times that something was received. */
  reads = 0;
  /** Why the socket closed, for streams that are reset by it. */
  failure: SocketFailure | null = null;
  isLost = false;
  exchanges = 0;
  /** When the pool closes the connection if it is still idle. */
  idleDeadline = 0;

  constructor(
    pool: HttpPool,
    transport: Transport,
    securedBy: SecuredBy,
    settings: Http2Settings,
    keepalive: KeepaliveConfig,
  ) {
    this.#pool = pool;
    this.counters = pool.codecs.http2;
    this.transport = transport;
    this.securedBy = securedBy;
    this.#keepalive = keepalive;
    this.startTime = transport.loop.now;
    this.#lastActivity = this.startTime;
    this.#connection = new Http2Connection(CLIENT, settings, this, this);
    this.#mostHeldBytes = settings.connectionWindow >> 1;
    this.#connection.start();
  }

  get localAddress(): string {
    const { socket } = this.transport;
    this.#localAddress ??= formatAddress(plainIp(socket.localAddress), socket.localPort ?? 0);
    return this.#localAddress;
  }

  /** True when another exchange may begin. */
  get canOpen(): boolean {
    return !this.#isClosed && this.#connection.canOpenStream;
  }

  /** Slow readers keep so much of the connection's window that what is new is better off elsewhere. */
  get isCrowded(): boolean {
    return this.#connection.heldBytes > this.#mostHeldBytes;
  }

  /** True when no more will ever begin. A peer that allows no streams is not asked again (CVE-2021-32780). */
  get isFinished(): boolean {
    return this.#isClosed || this.#connection.isDraining || this.#connection.peerMaxStreams === 0;
  }

  /** Whether the connection has existed for that long. */
  isOlderThan(ageMs: number): boolean {
    return this.transport.loop.now - this.startTime >= ageMs;
  }

  get isIdle(): boolean {
    return this.#connection.activeStreams === 0;
  }

  get preservesCase(): boolean {
    return this.#connection.preservesCase;
  }

  /** Whether the peer's SETTINGS are here, and what they say of RFC 8441. */
  get extendedConnect(): "unknown" | "allowed" | "refused" {
    if (!this.#connection.isReady) return "unknown";
    return this.#connection.peerAllowsExtendedConnect ? "allowed" : "refused";
  }

  open(): UpstreamExchange {
    const { idleIntervalMs } = this.#keepalive;
    // Whether the peer is still there is better known before its silence is taken for work.
    if (idleIntervalMs > 0 && this.transport.loop.now - this.#lastActivity >= idleIntervalMs) this.#connection.ping();
    return new Http2Exchange(this, this.exchanges++);
  }

  /** Calls `settingsCame` when the peer's SETTINGS are here. */
  awaitSettings(exchange: Http2Exchange): void {
    this.#waiting.push(exchange);
  }

  openStream(handler: Http2StreamHandler, head: PseudoHeaders, headers: Headers, end: boolean): Http2Stream | null {
    return this.#connection.openStream(handler, head, headers, end);
  }

  /** An exchange is over. */
  released(): void {
    if (!this.#isClosed) this.#pool.multiplexedReleased(this);
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

  /** A server does not open streams: push is switched off. */
  onStream(): void {}
  onHeadTooLarge(): void {}
  onMalformedRequest(): void {}
  onStreamError(): void {}

  onGoaway(): void {
    this.#pool.multiplexedFinished(this);
    if (this.isIdle) this.close();
  }

  onSettings(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const exchange of waiting) exchange.settingsCame();
    this.#pool.multiplexedSettled(this, this.#connection.peerMaxStreams);
  }

  onConnectionError(_code: number, words: string): void {
    this.failure = protocolFailure(words);
    this.#pool.multiplexedFinished(this);
    this.flush();
    this.#end();
    this.transport.closeGracefully();
  }

  onDrained(): void {
    this.close();
  }

  // The socket's events.

  onTransportData(data: Buffer): void {
    this.#lastActivity = this.transport.loop.now;
    this.reads++;
    this.#connection.receive(data);
  }

  onTransportEnd(): void {
    this.#lost(peerClosed);
    this.transport.destroy();
  }

  onTransportDrain(): void {
    this.#connection.onSinkDrain();
  }

  onTransportClose(failure: SocketFailure | null): void {
    this.#lost(failure ?? peerClosed);
  }

  #lost(failure: SocketFailure): void {
    this.failure ??= failure;
    this.isLost = true;
    this.#end();
    this.#connection.connectionLost();
  }

  #end(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#pool.multiplexedClosed(this);
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const exchange of waiting) exchange.settingsCame();
  }

  sweep(now: number): void {
    this.#connection.sweep(now);
    const { intervalMs, timeoutMs } = this.#keepalive;
    if (this.#isClosed) return;
    const sentAt = this.#connection.pingSentAt;
    if (sentAt !== 0 && timeoutMs > 0 && now - sentAt >= timeoutMs) {
      this.counters.keepaliveTimeout++;
      this.#lost({ ...peerClosed, words: `the peer did not answer a PING within ${timeoutMs} ms` });
      this.transport.destroy();
    } else if (intervalMs > 0 && sentAt === 0 && now - this.#lastActivity >= intervalMs) {
      this.#connection.ping();
    }
  }

  /** Nothing new begins; what runs is finished. */
  drain(): void {
    this.#connection.drain();
    if (this.isIdle) this.close();
  }

  /** Closes a connection without exchanges. */
  close(): void {
    if (this.#isClosed) return;
    this.#connection.close(NO_ERROR);
    this.flush();
    this.#end();
    this.transport.closeGracefully();
  }
}

function protocolFailure(words: string): SocketFailure {
  return {
    kind: FailureKind.Closed,
    code: "HTTP2_ERROR",
    transportReason: "",
    words: `the response is not valid HTTP/2: ${words}`,
  };
}

class Http2Exchange implements UpstreamExchange, Http2StreamHandler, PseudoHeaders, ResponseHead {
  readonly requestsBefore: number;
  readonly httpVersion = "HTTP/2";
  readonly mayBeRefused = true;
  method = "";
  scheme = "";
  authority = "";
  path = "";
  protocol = "";
  status = 0;
  reason = "";
  contentLength = -1;
  headers!: Headers;
  readonly #connection: UpstreamHttp2Connection;
  #handler: ResponseHandler | null = null;
  #stream: Http2Stream | null = null;
  #request: UpstreamRequest | null = null;
  #isTunnel = false;
  #isRequestDone = false;
  #isResponseDone = false;
  #informational = 0;
  /** What the connection had received when the request was sent. */
  #readsBefore = 0;

  constructor(connection: UpstreamHttp2Connection, requestsBefore: number) {
    this.#connection = connection;
    this.requestsBefore = requestsBefore;
  }

  get localAddress(): string {
    return this.#connection.localAddress;
  }

  get securedBy(): SecuredBy {
    return this.#connection.securedBy;
  }

  begin(handler: ResponseHandler): void {
    this.#handler = handler;
  }

  start(request: UpstreamRequest, end: boolean): void {
    this.method = request.method;
    this.scheme = request.scheme;
    this.authority = request.authority;
    this.path = request.path;
    this.#isRequestDone = end;
    this.#request = request;
    if (request.requestFraming === BODY_TUNNEL) this.#startTunnel(request);
    else this.#send(request);
  }

  #startTunnel(request: UpstreamRequest): void {
    this.#isTunnel = true;
    if (request.upgrade === "") {
      this.#send(request);
      return;
    }
    // RFC 8441: an Upgrade is a CONNECT with `:protocol`, for peers that said that they know it.
    this.method = "CONNECT";
    this.protocol = request.upgrade.toLowerCase();
    if (this.#connection.extendedConnect === "unknown") this.#connection.awaitSettings(this);
    else if (this.#connection.extendedConnect === "allowed") this.#send(request);
    else this.#endSoon(RESET_PROTOCOL_ERROR, noExtendedConnect);
  }

  settingsCame(): void {
    // The request may be given up by now, or the connection lost.
    if (this.#handler === null) return;
    const { extendedConnect, isLost, failure } = this.#connection;
    if (isLost || extendedConnect === "unknown") this.#end(RESET_CONNECTION_CLOSED, failure);
    else if (extendedConnect === "allowed") this.#send(this.#request!);
    else this.#end(RESET_PROTOCOL_ERROR, noExtendedConnect);
  }

  #send(request: UpstreamRequest): void {
    const connection = this.#connection;
    this.#readsBefore = connection.reads;
    const stream = connection.openStream(this, this, request.headers, this.#isRequestDone);
    // The peer lowered its limit between the choice of this connection and now.
    if (stream === null) this.#endSoon(RESET_REFUSED, refused);
    else if (stream.isClosed && !stream.isLocalEnd) this.#endSoon(RESET_PROTOCOL_ERROR, unsendable(stream.failure));
    else this.#stream = stream;
  }

  /** Ends the exchange when who began it is through with beginning. */
  #endSoon(reason: number, failure: SocketFailure): void {
    this.#connection.transport.loop.after(0, () => this.#end(reason, failure));
  }

  writeData(data: Buffer): boolean {
    return this.#stream?.sendData(data, false) ?? true;
  }

  endRequest(trailers: Headers | null): void {
    if (this.#isRequestDone) return;
    this.#isRequestDone = true;
    if (trailers === null) this.#stream?.sendData(nothing, true);
    else this.#stream?.sendTrailers(trailers);
  }

  pauseReading(): void {
    this.#stream?.pauseReading();
  }

  resumeReading(): void {
    this.#stream?.resumeReading();
  }

  release(): void {
    if (this.#handler === null) return;
    this.#handler = null;
    const stream = this.#stream;
    this.#stream = null;
    if (stream !== null && !stream.isClosed) stream.reset(this.#isResponseDone ? NO_ERROR : CANCEL);
    this.#connection.released();
  }

  onHeaders(head: Http2Head, isEnd: boolean): void {
    this.status = head.status;
    this.headers = head.headers;
    this.contentLength = head.contentLength;
    if (this.#connection.preservesCase) {
      this.reason = head.headers.get(reasonHeader) ?? "";
      if (this.reason !== "") head.headers.remove(reasonHeader);
    }
    const isUpgraded = this.#isTunnel && head.status >= 200 && head.status < 300;
    if (isUpgraded && this.#request!.upgrade !== "") this.#switchProtocols();
    this.#isResponseDone = isEnd;
    const handler = this.#handler;
    handler?.onUpstreamHead(this, isEnd && !isUpgraded, isUpgraded);
    if (isEnd && this.#handler === handler) handler?.onUpstreamEnd(null);
  }

  /** What HTTP/1 says in place of the 200 of an extended CONNECT. */
  #switchProtocols(): void {
    this.status = 101;
    this.reason = "Switching Protocols";
    const key = this.#request!.headers.get("sec-websocket-key");
    if (key !== undefined && !this.headers.has("sec-websocket-accept")) {
      this.headers.add("sec-websocket-accept", webSocketAccept(key));
    }
  }

  onInformational(head: Http2Head): void {
    if (++this.#informational > maxInformational) {
      this.#stream?.reset(ENHANCE_YOUR_CALM);
      this.#end(RESET_PROTOCOL_ERROR, protocolFailure("too many informational heads"));
      return;
    }
    this.#handler?.onUpstreamInformational({
      status: head.status,
      reason: "",
      headers: head.headers,
      contentLength: -1,
    });
  }

  onData(data: Buffer, isEnd: boolean): void {
    if (isEnd) this.#isResponseDone = true;
    const handler = this.#handler;
    if (data.length > 0) handler?.onUpstreamData(data);
    if (isEnd && this.#handler === handler) handler?.onUpstreamEnd(null);
  }

  onTrailers(trailers: Headers): void {
    this.#isResponseDone = true;
    this.#handler?.onUpstreamEnd(trailers);
  }

  onReset(code: number, byPeer: boolean): void {
    if (this.#isResponseDone) {
      // The response is here whole; the server does not want the rest of the request (RFC 9113 8.1).
      this.#stream = null;
      return;
    }
    const { isLost, failure } = this.#connection;
    if (isLost) {
      // The peer was gone before the request came, unless it said anything since.
      const isStale = this.requestsBefore > 0 && this.#connection.reads === this.#readsBefore;
      this.#end(isStale ? RESET_STALE : RESET_CONNECTION_CLOSED, failure);
    } else if (!byPeer) {
      // A request that can't be written: `#send` tells.
      if (this.#stream === null) return;
      this.#end(RESET_PROTOCOL_ERROR, failure ?? protocolFailure(this.#stream?.failure ?? ""));
    } else {
      const isRefused = code === REFUSED_STREAM;
      this.#end(isRefused ? RESET_REFUSED : RESET_REMOTE, isRefused ? refused : resetByPeer(code));
    }
  }

  #end(reason: number, failure: SocketFailure | null): void {
    const handler = this.#handler;
    this.#handler = null;
    this.#stream = null;
    if (handler === null) return;
    handler.onUpstreamReset(reason, failure);
    this.#connection.released();
  }

  onDrain(): void {
    this.#handler?.onUpstreamDrain();
  }
}

const refused: SocketFailure = {
  kind: FailureKind.Reset,
  code: "REFUSED_STREAM",
  transportReason: "",
  words: "the peer takes no more streams and did not look at this one",
};

const noExtendedConnect: SocketFailure = {
  kind: FailureKind.Local,
  code: "NO_EXTENDED_CONNECT",
  transportReason: "",
  words: "the server takes no Upgrade over HTTP/2 (it does not set SETTINGS_ENABLE_CONNECT_PROTOCOL, RFC 8441)",
};

function unsendable(words: string): SocketFailure {
  return {
    kind: FailureKind.Local,
    code: "HTTP2_ERROR",
    transportReason: "",
    words: `the request can't be sent: ${words}`,
  };
}

function resetByPeer(code: number): SocketFailure {
  return {
    kind: FailureKind.Reset,
    code: `RST_STREAM_${code}`,
    transportReason: "",
    words: `the peer reset the stream (${errorName(code)})`,
  };
}

/** RFC 6455 4.2.2. */
function webSocketAccept(key: string): string {
  return createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
}
