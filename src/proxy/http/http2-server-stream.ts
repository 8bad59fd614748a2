// HOT: per message. One stream of a downstream HTTP/2 connection, between the codec and the proxy's stream.
import { randomBytes } from "node:crypto";
import { CONTENT_LENGTH, EXPECT, HOST } from "#wire/http/header-names.ts";
import { Headers } from "#wire/http/headers.ts";
import { INTERNAL_ERROR, NO_ERROR, REFUSED_STREAM } from "#wire/http2/frame.ts";
import type { Http2Head } from "#wire/http2/head.ts";
import type { Http2Stream, Http2StreamHandler } from "#wire/http2/stream.ts";
import { BODY_CHUNKED, BODY_LENGTH, BODY_NONE, BODY_TUNNEL } from "../upstream/exchange.ts";
import { reasonHeader } from "../upstream/http2-connection.ts";
import type { Http2ServerConnection } from "./http2-server-connection.ts";
import { codecError, type LocalReply, reasonPhrase, upgradeRefused } from "./local-replies.ts";
import { prepareRequest } from "./request-head.ts";
import type { ResponseSink } from "./response-sink.ts";
import { Stream } from "./stream.ts";

/** How long a client may go on sending a request that was answered already. */
const lingerMs = 1000;

const nothing: Buffer = Buffer.alloc(0);
const noHeaders: Headers = new Headers();

export class Http2ServerStream implements ResponseSink, Http2StreamHandler {
  readonly isHttp1 = false;
  readonly stream: Stream;
  readonly #connection: Http2ServerConnection;
  readonly #http2: Http2Stream;
  #isOver = false;
  #isPaused = false;
  /**
   * What follows an Upgrade or CONNECT waits here until the upstream agreed: whoever does not agree would take it for
   * another request (CVE-2024-23326, CVE-2025-64763).
   */
  #holdsTunnel = false;
  #endsWithHead = false;
  /** The client was told to go on with its body, and needs not hear it twice. */
  #sent100 = false;

  constructor(connection: Http2ServerConnection, http2: Http2Stream, headers: Headers) {
    this.#connection = connection;
    this.#http2 = http2;
    http2.handler = this;
    const stream = new Stream(connection.manager, this, connection.info, connection, headers);
    stream.isHttp2 = true;
    stream.isHttp2Request = connection.info.negotiatedAlpn !== "istio-h2";
    this.stream = stream;
  }

  start(head: Http2Head, isEnd: boolean): void {
    const { stream } = this;
    stream.method = head.method;
    stream.originalPath = head.path;
    stream.path = head.path;
    // HTTP/1 applications read the authority in the Host header.
    if (!stream.headers.hasId(HOST)) stream.headers.addKnown(HOST, "host", head.authority);
    let refused: LocalReply | null = null;
    if (head.method === "CONNECT") {
      refused = this.#startTunnel(head, isEnd);
    } else if (isEnd) {
      stream.requestFraming = BODY_NONE;
      stream.requestEnded = true;
    } else {
      stream.requestFraming = head.contentLength >= 0 ? BODY_LENGTH : BODY_CHUNKED;
    }
    refused ??= prepareRequest(stream, 1, 0);
    if (refused !== null) {
      stream.sendLocalReply(refused, `the request is refused: ${refused.details}`, []);
      return;
    }
    if (!isEnd && stream.headers.hasId(EXPECT)) this.#answerExpectation();
    stream.start();
  }

  #startTunnel(head: Http2Head, isEnd: boolean): LocalReply | null {
    const { stream } = this;
    stream.requestFraming = BODY_TUNNEL;
    this.#holdsTunnel = true;
    this.#endsWithHead = isEnd;
    this.#http2.pauseReading();
    if (head.protocol === "") {
      stream.originalPath = head.authority;
    } else {
      // RFC 8441: an extended CONNECT is the Upgrade of HTTP/1, which needs a key that HTTP/2 does without.
      stream.method = "GET";
      stream.upgrade = head.protocol;
      if (head.protocol === "websocket" && !stream.headers.has("sec-websocket-key")) {
        stream.headers.add("sec-websocket-key", randomBytes(16).toString("base64"));
      }
    }
    // A length would make a body of the first bytes of the tunnel.
    return stream.headers.hasId(CONTENT_LENGTH) ? upgradeRefused : null;
  }

  /** RFC 9110 10.1.1. */
  #answerExpectation(): void {
    const { headers } = this.stream;
    if (this.#connection.manager.config.proxies100Continue) return;
    if (headers.getId(EXPECT)?.toLowerCase() !== "100-continue") return;
    headers.removeId(EXPECT);
    this.#sent100 = true;
    this.#http2.sendHead(100, noHeaders, false);
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
    if (status === 101 || (status === 100 && this.#sent100)) return;
    // RFC 9110 8.6: it frames nothing, and nobody may believe that it does.
    headers.removeId(CONTENT_LENGTH);
    this.#http2.sendHead(status, headers, false);
  }

  sendHead(stream: Stream, end: boolean): void {
    const headers = stream.responseHeaders!;
    let status = stream.responseStatus;
    if (stream.isTunnel) {
      headers.removeId(CONTENT_LENGTH);
      headers.remove("sec-websocket-accept");
      if (status === 101) status = 200;
    } else if (status === 204) {
      headers.removeId(CONTENT_LENGTH);
    }
    if (this.#connection.preservesCase) this.#sendReason(stream.responseReason, status, headers);
    this.#http2.sendHead(status, headers, end);
  }

  /** Another Outrigger proxy hears the words of the status line, where they are not the usual ones. */
  #sendReason(reason: string, status: number, headers: Headers): void {
    headers.remove(reasonHeader);
    if (reason !== reasonPhrase(status)) headers.add(reasonHeader, reason);
  }

  sendData(_stream: Stream, data: Buffer): boolean {
    return this.#http2.sendData(data, false);
  }

  sendEnd(_stream: Stream, trailers: Headers | null): void {
    if (this.#http2.isLocalEnd) return;
    if (trailers === null) this.#http2.sendData(nothing, true);
    else this.#http2.sendTrailers(trailers);
  }

  becomeTunnel(): void {
    this.#holdsTunnel = false;
    // What the client sent already follows once the upstream's head is through.
    this.#connection.transport.loop.after(0, () => this.#startTunnelFlow());
  }

  #startTunnelFlow(): void {
    if (this.#isOver) return;
    if (!this.#isPaused) this.#http2.resumeReading();
    if (this.#endsWithHead) this.stream.onRequestEnd(null);
  }

  reset(): void {
    this.#http2.reset(INTERNAL_ERROR);
  }

  pauseRequest(): void {
    this.#isPaused = true;
    this.#http2.pauseReading();
  }

  resumeRequest(): void {
    this.#isPaused = false;
    if (!this.#holdsTunnel) this.#http2.resumeReading();
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

  onReset(code: number, byPeer: boolean): void {
    if (this.#isOver) return;
    const { stream } = this;
    const { endDetails, info } = this.#connection;
    const { connection, failure } = this.#http2;
    if (endDetails !== "") {
      stream.onClientGone(endDetails);
    } else if (byPeer) {
      stream.onClientGone(code === REFUSED_STREAM ? "http2.remote_refuse" : "http2.remote_reset", "DR");
    } else if (connection.isClosed) {
      stream.cause = `${info.sourceAddress} broke the rules of HTTP/2: ${failure}`;
      stream.onClientGone(`codec_error:${failure.replaceAll(" ", "_")}`, "DPE");
    } else if (code === INTERNAL_ERROR) {
      stream.cause = `the response can't be sent: ${failure}`;
      stream.onClientGone("http2.invalid.header.field", "LR");
    } else {
      stream.cause = `${info.sourceAddress} broke the rules of HTTP/2: ${failure}`;
      stream.onClientGone("http2.violation.of.messaging.rule", "DPE");
    }
  }

  onDrain(): void {
    if (!this.#isOver) this.stream.onSinkDrain();
  }
}
