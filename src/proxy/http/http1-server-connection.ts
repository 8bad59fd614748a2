// HOT: per message. The downstream HTTP/1 codec of one connection: parses requests strictly, runs one stream at a time
// in the order of arrival, frames responses, and ends the connection where a message's end could be misread.
//
// States: HEAD (between or inside a head) → BODY → WAIT (the response is still on its way) → HEAD ...; TUNNEL after an
// Upgrade or CONNECT; CLOSING once no further request will be read.

import { CONNECTION, CONTENT_LENGTH, EXPECT, nameOfId, TRANSFER_ENCODING, UPGRADE } from "#wire/http/header-names.ts";
import { Headers } from "#wire/http/headers.ts";
import { BodyDecoder, type BodySink } from "#wire/http1/body-decoder.ts";
import {
  CONNECTION_CLOSE,
  CONNECTION_KEEP_ALIVE,
  CONNECTION_UPGRADE,
  HeadParser,
  REQUEST,
} from "#wire/http1/head-parser.ts";
import { ERR_HTTP2_PREFACE, NEED_MORE, parseErrorMeaning } from "#wire/http1/parse-error.ts";
import { serializeProperCase } from "#wire/http1/proper-case.ts";
import type { ConnectionInfo } from "../transport/connection-info.ts";
import type { SocketFailure } from "../transport/socket-error.ts";
import type { Transport, TransportUser } from "../transport/transport.ts";
import { BODY_CHUNKED, BODY_LENGTH, BODY_NONE, BODY_TUNNEL } from "../upstream/exchange.ts";
import type { HttpConnectionManager } from "./connection-manager.ts";
import {
  codecError,
  type LocalReply,
  reasonPhrase,
  requestHeaderTimeout,
  streamIdleTimeout,
  upgradeRefused,
} from "./local-replies.ts";
import { prepareRequest, removeNominated } from "./request-head.ts";
import type { ResponseSink } from "./response-sink.ts";
import { type CodecConnection, Stream } from "./stream.ts";
import { enforceDeadlines, headTimeoutMs } from "./stream-deadlines.ts";

const HEAD = 0;
const BODY = 1;
const WAIT = 2;
const TUNNEL = 3;
const CLOSING = 4;

export class Http1ServerConnection implements TransportUser, BodySink, ResponseSink, CodecConnection {
  readonly isHttp1 = true;
  readonly transport: Transport;
  readonly info: ConnectionInfo;
  clientCertificateElement: string | undefined = undefined;
  readonly #manager: HttpConnectionManager;
  readonly #onClosed: (connection: Http1ServerConnection) => void;
  readonly #head: HeadParser;
  readonly #body: BodyDecoder;
  #state = HEAD;
  #stream: Stream | null = null;
  /** Bytes of the next request, or of a tunnel that is not accepted yet. */
  #rest: Buffer | null = null;
  #isConsuming = false;
  #isPaused = false;
  #keepsAlive = true;
  #peerEnded = false;
  /** How often a client that ended its side was asked whether it is still there. */
  #endedAt = 0;
  #probes = 0;
  #chunksResponse = false;
  /** The client was told to go on with its body, and needs not hear it twice. */
  #sent100 = false;
  #requests = 0;
  readonly #startTime: number;
  #idleSince: number;
  /** When the first byte of the present head came, or 0. */
  #headSince = 0;
  /** When draining began, or 0. */
  #drainSince = 0;

  constructor(
    manager: HttpConnectionManager,
    transport: Transport,
    info: ConnectionInfo,
    onClosed: (connection: Http1ServerConnection) => void,
  ) {
    this.#manager = manager;
    this.transport = transport;
    this.info = info;
    this.#onClosed = onClosed;
    const limits = {
      maxBytes: manager.config.maxRequestHeadersBytes,
      maxHeaders: manager.config.maxRequestHeadersCount,
      allowChunkedLength: manager.config.http1.allowChunkedLength,
    };
    this.#head = new HeadParser(REQUEST, limits);
    this.#body = new BodyDecoder(limits);
    this.#startTime = transport.loop.now;
    this.#idleSince = this.#startTime;
    transport.setLimits(0, manager.config.streamIdleTimeoutMs);
    transport.loop.sweepAlways(this);
  }

  get isIdle(): boolean {
    return this.#stream === null && !this.#head.started;
  }

  /** Asks the client to go: with the next response, or after a moment without a request. */
  drain(): void {
    if (this.#drainSince === 0) this.#drainSince = this.transport.loop.now;
    this.#keepsAlive = false;
  }

  /** Closes at once; a request in flight is lost. */
  destroy(): void {
    this.transport.destroy();
  }

  onTransportData(data: Buffer): void {
    if (this.#state === CLOSING) return;
    if (this.#rest !== null) {
      this.#rest = Buffer.concat([this.#rest, data]);
      return;
    }
    if (this.#state === TUNNEL) {
      this.#stream?.onRequestData(data);
      return;
    }
    this.#consume(data);
  }

  #consume(data: Buffer): void {
    this.#isConsuming = true;
    const end = data.length;
    let at = 0;
    while (at < end) {
      if (this.#state === HEAD) {
        // A client that pipelines and does not read would make us hold its answers.
        if (at > 0 && this.transport.isCongested) {
          this.#rest = data.subarray(at);
          this.#pause();
          break;
        }
        const result = this.#head.parse(data, at, end);
        if (result === NEED_MORE) {
          if (this.#headSince === 0) this.#headSince = this.transport.loop.now;
          break;
        }
        this.#headSince = 0;
        if (result < 0) {
          this.#refuse(result);
          break;
        }
        at = result;
        this.#startStream();
      } else if (this.#state === BODY) {
        const result = this.#body.decode(data, at, end, this);
        if (result < 0) {
          this.#badBody(result);
          break;
        }
        at = result;
        if (this.#body.done) this.#bodyDone();
      } else if (this.#state === TUNNEL) {
        this.#stream?.onRequestData(data.subarray(at));
        break;
      } else if (this.#state === WAIT) {
        this.#rest = data.subarray(at);
        this.#pause();
        break;
      } else {
        break;
      }
    }
    this.#isConsuming = false;
  }

  onBodyData(data: Buffer): void {
    this.#stream?.onRequestData(data);
  }

  #bodyDone(): void {
    const stream = this.#stream;
    if (this.#state === BODY) this.#state = WAIT;
    const { trailers } = this.#body;
    if (trailers !== null && stream !== null && stream.nominatedNames !== "") {
      removeNominated(trailers, stream.nominatedNames);
    }
    stream?.onRequestEnd(trailers);
  }

  #startStream(): void {
    const head = this.#head;
    const stream = new Stream(this.#manager, this, this.info, this, head.headers);
    this.#stream = stream;
    this.#sent100 = false;
    this.#requests++;
    stream.method = head.method;
    stream.originalPath = head.target;
    stream.path = head.target;
    stream.minorVersion = head.minorVersion;
    this.#keepsAlive =
      (head.minorVersion === 1
        ? (head.connectionTokens & CONNECTION_CLOSE) === 0
        : (head.connectionTokens & CONNECTION_KEEP_ALIVE) !== 0) &&
      this.#drainSince === 0 &&
      this.#requests !== this.#manager.config.maxRequestsPerConnection &&
      !this.#manager.environment.asksToClose(this.info);
    const refused = this.#setFraming(stream) ?? prepareRequest(stream, head.hostCount, head.connectionTokens);
    if (refused !== null) {
      // What is left open is a connection whose request is complete; `streamDone` sees to the others.
      if (!this.#manager.config.http1.keepsOpenAfterInvalid) this.#keepsAlive = false;
      stream.sendLocalReply(refused, `the request is refused: ${refused.details}`, []);
      return;
    }
    if (head.hasExpect) this.#answerExpectation(stream);
    stream.start();
    // A request without a body ends with its head; `start` has seen `requestEnded`.
  }

  /** RFC 9110 10.1.1. An HTTP/1.0 client does not know 100 and may not be taken at its word. */
  #answerExpectation(stream: Stream): void {
    const { headers } = stream;
    if (headers.getId(EXPECT)?.toLowerCase() !== "100-continue") return;
    if (stream.minorVersion === 0) {
      headers.removeId(EXPECT);
    } else if (!this.#manager.config.proxies100Continue) {
      headers.removeId(EXPECT);
      this.#sent100 = true;
      if (!stream.requestEnded) this.transport.write("HTTP/1.1 100 Continue\r\n\r\n");
    }
  }

  /** Says how the body is framed, and puts the connection into the matching state. */
  #setFraming(stream: Stream): LocalReply | null {
    const head = this.#head;
    if (head.method === "CONNECT") return this.#startTunnel(stream, "connect");
    if (head.hasUpgrade && (head.connectionTokens & CONNECTION_UPGRADE) !== 0) {
      const protocol = (head.headers.getId(UPGRADE) ?? "").toLowerCase();
      // An offer of h2c may be ignored, and every client of it goes on in HTTP/1.1.
      if (protocol !== "h2c") return this.#startTunnel(stream, protocol);
      head.headers.remove("http2-settings");
    }
    if (head.chunked) {
      stream.requestFraming = BODY_CHUNKED;
      this.#body.startChunked();
      this.#state = BODY;
    } else if (head.contentLength > 0) {
      stream.requestFraming = BODY_LENGTH;
      this.#body.startLength(head.contentLength);
      this.#state = BODY;
    } else {
      stream.requestFraming = BODY_NONE;
      stream.requestEnded = true;
      this.#state = WAIT;
    }
    return null;
  }

  #startTunnel(stream: Stream, protocol: string): LocalReply | null {
    this.#keepsAlive = false;
    this.#state = WAIT;
    // A body before the switch would be read as the new protocol by one side and as HTTP by the other.
    if (this.#head.chunked || this.#head.contentLength > 0) return upgradeRefused;
    stream.requestFraming = BODY_TUNNEL;
    stream.upgrade = protocol === "connect" ? "" : (this.#head.headers.getId(UPGRADE) ?? "");
    return null;
  }

  #refuse(code: number): void {
    if (code === ERR_HTTP2_PREFACE) this.#refuseHttp2();
    const meaning = parseErrorMeaning(code);
    this.#manager.environment.codecs.http1.protocolErrors++;
    this.#refuseWith(codecError(meaning.status, meaning.details, meaning.words), meaning.words);
  }

  /** Tells an HTTP/2 client in its own protocol to come back with HTTP/1.1; then the logs get their entry. */
  #refuseHttp2(): void {
    this.transport.writeBytes(http2Refusal);
    this.transport.end();
  }

  /** Answers what is not a request and closes. It is a stream for logs all the same. */
  #refuseWith(reply: LocalReply, words: string): void {
    const head = this.#head;
    this.#keepsAlive = false;
    this.#state = WAIT;
    const stream = new Stream(this.#manager, this, this.info, this, new Headers());
    stream.method = head.method;
    stream.originalPath = head.target;
    stream.path = head.target;
    stream.requestEnded = true;
    this.#stream = stream;
    stream.sendLocalReply(reply, `${this.info.sourceAddress} sent a request that is refused: ${words}`, []);
  }

  #badBody(code: number): void {
    const meaning = parseErrorMeaning(code);
    this.#manager.environment.codecs.http1.protocolErrors++;
    this.#keepsAlive = false;
    this.#state = CLOSING;
    this.#stream?.sendLocalReply(
      codecError(meaning.status, meaning.details, meaning.words),
      `${this.info.sourceAddress} sent a body that is refused: ${meaning.words}`,
      [],
    );
  }

  sendInformational(stream: Stream, status: number, headers: Headers): void {
    if (stream !== this.#stream || stream.minorVersion === 0) return;
    if (status === 100 && this.#sent100) return;
    // RFC 9110 8.6, RFC 9112 6.1: a 1xx response frames nothing, and nobody may believe that it does.
    removeFraming(headers);
    this.transport.write(`HTTP/1.1 ${status} ${reasonPhrase(status)}\r\n${headers.serialize()}\r\n`);
  }

  sendHead(stream: Stream, end: boolean): void {
    if (stream !== this.#stream) return;
    const headers = stream.responseHeaders!;
    const status = stream.responseStatus;
    this.#chunksResponse = false;
    let connection = "";
    if (stream.isTunnel) {
      removeFraming(headers);
      connection = stream.upgrade === "" ? "" : "upgrade";
      if (connection !== "") headers.addKnown(UPGRADE, "upgrade", stream.upgrade);
    } else {
      this.#frameResponse(stream, headers, status, end);
      // An early answer leaves body bytes unread, which nobody can skip safely.
      if (!stream.requestEnded || this.#isLastRequest()) this.#keepsAlive = false;
      if (!this.#keepsAlive) connection = "close";
      else if (stream.minorVersion === 0) connection = "keep-alive";
    }
    if (connection !== "") headers.addKnown(CONNECTION, "connection", connection);
    const lines = this.#manager.config.http1.properCaseNames ? serializeProperCase(headers) : headers.serialize();
    this.transport.write(`HTTP/1.1 ${status} ${stream.responseReason}\r\n${lines}\r\n`);
  }

  #frameResponse(stream: Stream, headers: Headers, status: number, end: boolean): void {
    if (end || stream.method === "HEAD" || status === 204 || status === 304) {
      if (status === 204) removeFraming(headers);
      else if (stream.minorVersion === 0) headers.removeId(TRANSFER_ENCODING);
      // A response of HTTP/2 that ends with its head need not say it; a client of HTTP/1 would wait for the end.
      if (end && stream.method !== "HEAD" && status !== 204 && status !== 304 && !headers.hasId(CONTENT_LENGTH)) {
        headers.removeId(TRANSFER_ENCODING);
        headers.addKnown(CONTENT_LENGTH, nameOfId(CONTENT_LENGTH), "0");
      }
      return;
    }
    if (stream.responseLength >= 0) {
      if (!headers.hasId(CONTENT_LENGTH))
        headers.addKnown(CONTENT_LENGTH, nameOfId(CONTENT_LENGTH), String(stream.responseLength));
      return;
    }
    if (stream.minorVersion === 0) {
      headers.removeId(TRANSFER_ENCODING);
      this.#keepsAlive = false;
      return;
    }
    this.#chunksResponse = true;
    if (!headers.hasId(TRANSFER_ENCODING)) headers.addKnown(TRANSFER_ENCODING, nameOfId(TRANSFER_ENCODING), "chunked");
  }

  sendData(stream: Stream, data: Buffer): boolean {
    if (stream !== this.#stream) return true;
    if (stream.method === "HEAD" && !stream.isTunnel) return true;
    if (!this.#chunksResponse) return this.transport.writeBytes(data);
    if (data.length === 0) return true;
    this.transport.write(`${data.length.toString(16)}\r\n`);
    this.transport.writeBytes(data);
    return this.transport.write("\r\n");
  }

  sendEnd(stream: Stream, trailers: Headers | null): void {
    if (stream !== this.#stream) return;
    if (this.#chunksResponse) {
      this.transport.write(trailers === null ? "0\r\n\r\n" : `0\r\n${trailers.serialize()}\r\n`);
    } else if (stream.isTunnel) {
      this.transport.end();
    }
  }

  becomeTunnel(stream: Stream): void {
    if (stream !== this.#stream) return;
    this.#state = TUNNEL;
    // What the client sent already follows once the upstream's head is through, in order: bytes, then the end.
    if (this.#rest !== null) this.transport.loop.after(0, () => this.#flushIntoTunnel(stream));
    else this.#startTunnelFlow(stream);
  }

  #flushIntoTunnel(stream: Stream): void {
    if (stream !== this.#stream) return;
    const rest = this.#rest;
    this.#rest = null;
    if (rest !== null) stream.onRequestData(rest);
    this.#startTunnelFlow(stream);
  }

  #startTunnelFlow(stream: Stream): void {
    this.#resume();
    if (this.#peerEnded) stream.onRequestEnd(null);
  }

  reset(stream: Stream): void {
    if (stream !== this.#stream) return;
    this.#keepsAlive = false;
    // The end of the connection is ours and not the client's.
    this.#stream = null;
    // A chunked or counted body is visibly cut short; a body that runs until the end of the connection needs a reset.
    if (this.#chunksResponse || stream.responseLength >= 0) this.transport.destroy();
    else this.transport.reset();
  }

  pauseRequest(_stream: Stream): void {
    this.#pause();
  }

  resumeRequest(_stream: Stream): void {
    if (this.#rest === null) this.#resume();
  }

  #pause(): void {
    if (this.#isPaused) return;
    this.#isPaused = true;
    this.transport.pause();
  }

  #resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.transport.resume();
  }

  streamDone(stream: Stream): void {
    if (stream !== this.#stream) return;
    this.#stream = null;
    if (this.transport.isClosed) return;
    if (this.#state === TUNNEL) {
      this.transport.closeGracefully(this.#manager.config.delayedCloseTimeoutMs);
      return;
    }
    if (!this.#keepsAlive || !stream.requestEnded || this.#isLastRequest()) {
      this.#close();
      return;
    }
    this.#idleSince = this.transport.loop.now;
    this.#head.reset();
    this.#state = HEAD;
    if (!this.#isConsuming) this.#goOn();
    else if (this.#rest === null) this.#resume();
  }

  /** Takes what was held, and reads on when nothing is held any more. */
  #goOn(): void {
    const rest = this.#rest;
    if (rest !== null) {
      if (this.transport.isCongested) return;
      this.#rest = null;
      this.#consume(rest);
      if (this.#peerEnded && this.#rest === null && !this.transport.isClosed) this.onTransportEnd();
    }
    if (this.#rest === null) this.#resume();
  }

  /** The client takes nothing of what was sent to it. */
  #cutOff(stream: Stream | null): void {
    stream?.sendLocalReply(streamIdleTimeout, "the client has stopped reading", []);
    this.transport.destroy();
  }

  /** The client has ended its side, and nothing that it sent before is left to be read. */
  #isLastRequest(): boolean {
    return this.#peerEnded && this.#rest === null && !this.#isConsuming;
  }

  #close(): void {
    this.#state = CLOSING;
    this.transport.closeGracefully(this.#manager.config.delayedCloseTimeoutMs);
  }

  onTransportEnd(): void {
    this.#peerEnded = true;
    const stream = this.#stream;
    if (this.#state === TUNNEL) {
      if (this.#rest === null) stream?.onRequestEnd(null);
    } else if (stream === null) {
      this.#close();
    } else if (!stream.requestEnded && this.#state === BODY) {
      // The request will never be complete.
      stream.onClientGone();
      this.transport.destroy();
    }
    // Otherwise the client has said all it wants to say and waits for the answer, or is gone.
    else this.#endedAt = this.transport.loop.now;
  }

  /**
   * A client that is gone looks like one that waits until something is sent to it: the first write makes its system say
   * so, the second one fails. An informational response is what every client of HTTP/1.1 has to bear (RFC 9110 15.2);
   * one that is answered soon never sees it.
   */
  #probe(): void {
    const stream = this.#stream;
    if (stream === null || stream.responseStarted || stream.isTunnelRequest || stream.minorVersion === 0) return;
    this.#probes++;
    this.transport.write("HTTP/1.1 100 Continue\r\n\r\n");
  }

  onTransportDrain(): void {
    if (this.#stream !== null) this.#stream.onSinkDrain();
    else if (this.#state === HEAD) this.#goOn();
  }

  onTransportClose(_failure: SocketFailure | null): void {
    this.transport.loop.stopSweeping(this);
    this.#state = CLOSING;
    this.#rest = null;
    const stream = this.#stream;
    if (stream !== null) stream.onClientGone();
    this.#stream = null;
    this.#onClosed(this);
  }

  sweep(now: number): void {
    const { maxConnectionDurationMs } = this.#manager.config;
    const idleTimeoutMs = this.#manager.environment.shedding.connectionIdleMs(this.#manager.config.idleTimeoutMs);
    const stream = this.#stream;
    if (maxConnectionDurationMs > 0 && now - this.#startTime >= maxConnectionDurationMs) this.drain();
    if (this.transport.isStalled(now)) {
      this.#cutOff(stream);
      return;
    }
    if (stream === null) {
      if (this.#headSince > 0) {
        const limit = headTimeoutMs(this.#manager.config);
        if (now - this.#headSince >= limit) {
          this.#headSince = 0;
          this.#refuseWith(requestHeaderTimeout, `no complete head within ${limit} ms`);
        }
      } else if (this.#drainSince > 0 && now - Math.max(this.#drainSince, this.#idleSince) >= drainIdleMs) {
        this.#close();
      } else if (idleTimeoutMs > 0 && now - this.#idleSince >= idleTimeoutMs && this.#state === HEAD) {
        this.#close();
      }
      return;
    }
    if (this.#peerEnded && this.#probes < 2 && now - this.#endedAt >= probeAfterMs) this.#probe();
    if (this.#peerEnded && !stream.isTunnel && now - stream.lastActivity >= halfClosedIdleMs) {
      stream.onClientGone();
      this.transport.destroy();
    } else {
      enforceDeadlines(stream, now);
    }
  }
}

function removeFraming(headers: Headers): void {
  headers.removeId(CONTENT_LENGTH);
  headers.removeId(TRANSFER_ENCODING);
}

/** An empty SETTINGS frame, then GOAWAY with HTTP_1_1_REQUIRED (RFC 9113 7). */
const http2Refusal: Buffer = Buffer.from("000000040000000000" + "000008070000000000" + "000000000000000d", "hex");
/** While draining, how long an idle connection may still bring the request that was on its way. */
const drainIdleMs = 500;
/**
 * A client that has ended its side may wait for its answer, or be gone without a system that says so. So long nothing has
 * to be sent before it counts as gone.
 */
const halfClosedIdleMs = 60_000;
/** After this time without an answer it is asked whether it is there. */
const probeAfterMs = 500;
