// HOT: per message. The downstream HTTP/2 side of one connection: each of its streams becomes a stream of the proxy. The
// codec (wire/http2) owns the rules of the protocol; this gives it a socket, limits in time, and the way to the filters.
import { Headers } from "#wire/http/headers.ts";
import type { Http2CodecCounters } from "#wire/http2/codec-counters.ts";
import { Http2Connection, SERVER } from "#wire/http2/connection.ts";
import { NO_ERROR } from "#wire/http2/frame.ts";
import type { Http2Head } from "#wire/http2/head.ts";
import type { Http2Events, Http2Sink } from "#wire/http2/owner.ts";
import type { Http2Stream } from "#wire/http2/stream.ts";
import type { ConnectionInfo } from "../transport/connection-info.ts";
import type { Flushable } from "../transport/event-loop.ts";
import type { SocketFailure } from "../transport/socket-error.ts";
import type { Transport, TransportUser } from "../transport/transport.ts";
import type { HttpConnectionManager } from "./connection-manager.ts";
import { Http2ServerStream } from "./http2-server-stream.ts";
import { streamIdleTimeout } from "./local-replies.ts";
import { noSink } from "./response-sink.ts";
import { type CodecConnection, Stream } from "./stream.ts";
import { enforceDeadlines, headTimeoutMs } from "./stream-deadlines.ts";

export class Http2ServerConnection implements TransportUser, CodecConnection, Http2Sink, Http2Events, Flushable {
  readonly transport: Transport;
  readonly info: ConnectionInfo;
  readonly manager: HttpConnectionManager;
  readonly counters: Http2CodecCounters;
  clientCertificateElement: string | undefined = undefined;
  /** Why the connection ended in all its streams, as response code details; empty: it did not. */
  endDetails = "";
  readonly #connection: Http2Connection;
  readonly #onClosed: (connection: Http2ServerConnection) => void;
  readonly #streams = new Set<Http2ServerStream>();
  readonly #lingering = new Map<Http2ServerStream, number>();
  readonly #startTime: number;
  #idleSince: number;
  #lastReceived: number;
  #requests = 0;

  constructor(
    manager: HttpConnectionManager,
    transport: Transport,
    info: ConnectionInfo,
    onClosed: (connection: Http2ServerConnection) => void,
  ) {
    this.manager = manager;
    this.counters = manager.environment.codecs.http2;
    this.transport = transport;
    this.info = info;
    this.#onClosed = onClosed;
    this.#startTime = transport.loop.now;
    this.#idleSince = this.#startTime;
    this.#lastReceived = this.#startTime;
    // Only another Outrigger proxy offers this name without `h2` (see transport/downstream-tls.ts); what it means is
    // done for clients alone that say so in their SETTINGS.
    const settings = info.negotiatedAlpn === "istio-h2" ? manager.meshHttp2Settings : manager.http2Settings;
    this.#connection = new Http2Connection(SERVER, settings, this, this);
    this.#connection.start();
    transport.setLimits(0, manager.config.streamIdleTimeoutMs);
    transport.loop.sweepAlways(this);
  }

  get preservesCase(): boolean {
    return this.#connection.preservesCase;
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
    if (++this.#requests === limit || this.manager.environment.asksToClose(this.info)) this.drain();
  }

  /** A request that the codec has reset. Nobody served it, but it is in the log like any other. */
  onMalformedRequest(head: Http2Head, words: string, isFieldFault: boolean): void {
    const stream = new Stream(this.manager, noSink, this.info, this, head.headers);
    stream.isHttp2 = true;
    stream.method = head.method;
    stream.originalPath = head.path;
    stream.path = head.path;
    stream.authority = head.authority;
    stream.requestEnded = true;
    stream.cause = `${this.info.sourceAddress} sent a request that is malformed: ${words}`;
    stream.onClientGone(isFieldFault ? "http2.invalid.header.field" : "http2.violation.of.messaging.rule", "DPE");
  }

  /** Watches a stream that was answered before its request was complete. */
  linger(served: Http2ServerStream, deadline: number): void {
    this.#lingering.set(served, deadline);
  }

  /** A stream is over. */
  ended(served: Http2ServerStream): void {
    this.#streams.delete(served);
    this.#idleSince = this.transport.loop.now;
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
    this.#lastReceived = this.transport.loop.now;
    this.#connection.receive(data);
  }

  onTransportEnd(): void {
    this.#lost("downstream_remote_disconnect");
    this.transport.closeGracefully();
  }

  onTransportDrain(): void {
    this.#connection.onSinkDrain();
  }

  onTransportClose(_failure: SocketFailure | null): void {
    this.transport.loop.stopSweeping(this);
    this.#lost("downstream_remote_disconnect");
    this.#onClosed(this);
  }

  #lost(details: string): void {
    if (this.endDetails === "") this.endDetails = details;
    this.#connection.connectionLost();
  }

  // Time.

  sweep(now: number): void {
    const { maxConnectionDurationMs } = this.manager.config;
    this.#connection.sweep(now);
    if (this.transport.isStalled(now)) {
      this.counters.flushTimeouts++;
      for (const { stream } of this.#streams) {
        stream.sendLocalReply(streamIdleTimeout, "the client has stopped reading", []);
      }
      this.transport.destroy();
      return;
    }
    if (maxConnectionDurationMs > 0 && now - this.#startTime >= maxConnectionDurationMs) this.drain();
    for (const [served, deadline] of this.#lingering) {
      if (served.isSettled(now, deadline)) this.#lingering.delete(served);
    }
    for (const { stream } of this.#streams) enforceDeadlines(stream, now);
    if (!this.transport.isEnded) this.#sweepConnection(now);
  }

  #sweepConnection(now: number): void {
    const { http2 } = this.manager.config;
    const idleTimeoutMs = this.manager.environment.shedding.connectionIdleMs(this.manager.config.idleTimeoutMs);
    const connection = this.#connection;
    if (!connection.isReady) {
      if (now - this.#startTime >= headTimeoutMs(this.manager.config)) this.transport.destroy();
    } else if (idleTimeoutMs > 0 && connection.activeStreams === 0 && now - this.#idleSince >= idleTimeoutMs) {
      connection.close(NO_ERROR);
      this.#close();
    } else if (http2.keepalive.intervalMs > 0) {
      this.#keepAlive(now, http2.keepalive.intervalMs, http2.keepalive.timeoutMs);
    }
  }

  #keepAlive(now: number, intervalMs: number, timeoutMs: number): void {
    const sentAt = this.#connection.pingSentAt;
    if (sentAt !== 0 && now - sentAt >= timeoutMs) {
      this.counters.keepaliveTimeout++;
      this.endDetails = "downstream_local_disconnect(http2_ping_timeout)";
      this.transport.destroy();
    } else if (sentAt === 0 && now - this.#lastReceived >= intervalMs) {
      this.#connection.ping();
    }
  }
}
