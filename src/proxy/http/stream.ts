// HOT: per request. One request and its response on their way through the filters. It owns the order of events: request
// head → filters → router → upstream head → filters → client, data likewise, and exactly one end, at which the access
// log and the metrics are written. Codecs on both sides are behind ResponseSink and the router.

import type { Origin } from "#base/issue.ts";
import { formatOrigin } from "#base/issue.ts";
import { CONTENT_LENGTH, CONTENT_TYPE, GRPC_STATUS, TRANSFER_ENCODING } from "#wire/http/header-names.ts";
import { Headers } from "#wire/http/headers.ts";
import type { ClusterConfig, EndpointConfig } from "../config/cluster.ts";
import type { FilterMetadata, RouteConfig } from "../config/http.ts";
import type { RuntimeShare } from "../config/runtime.ts";
import {
  type ClientCertificate,
  filterConfigsOf,
  type RouteDecision,
  type RouteRequest,
  selectRoute,
} from "../decide/route.ts";
import type { ConnectionInfo } from "../transport/connection-info.ts";
import type { ChoiceContext } from "../upstream/balance/choice.ts";
import { BODY_CHUNKED, BODY_LENGTH, BODY_NONE, BODY_TUNNEL, type UpstreamExchange } from "../upstream/exchange.ts";
import type { HttpConnectionManager } from "./connection-manager.ts";
import {
  CONTINUE,
  DONE,
  HOLD,
  type HookLists,
  type HttpFilter,
  indexAfter,
  noHooks,
  PAUSE,
  positionIn,
  type Verdict,
  withAttached,
} from "./filter.ts";
import { FilterPath } from "./filter-path.ts";
import { Router } from "./filters/router/router.ts";
import { type LocalReply, overloaded } from "./local-replies.ts";
import { localReplyMessage } from "./local-reply-message.ts";
import type { RequestFacts } from "./observer.ts";
import { withFlag } from "./response-flags.ts";
import type { ResponseSink } from "./response-sink.ts";
import { routingRefusal } from "./routing-refusal.ts";
import type { Span } from "./tracing/span.ts";

/** What streams of one connection share beside its info. */
export interface CodecConnection {
  /** Built on first use, see client-certificate-header.ts. */
  clientCertificateElement: string | undefined;
}

/** Of a stream whose answer passes no filter, as opposed to one that has not begun. */
const noFilters: HookLists = { ...noHooks };

export class Stream implements RouteRequest, RequestFacts {
  readonly manager: HttpConnectionManager;
  readonly sink: ResponseSink;
  readonly connection: ConnectionInfo;
  readonly codecConnection: CodecConnection;
  readonly headers: Headers;
  readonly startTimeMs: number;
  method = "";
  /** As received. */
  originalPath = "";
  /** The request's Connection header, where it names other headers or trailers; they are not forwarded. */
  nominatedNames = "";
  path = "";
  authority = "";
  scheme = "http";
  /** Of HTTP/1. */
  minorVersion = 1;
  isHttp2 = false;
  /** HTTP/2, and no HTTP/1 request of another Outrigger sidecar (decide/upstream-protocol.ts). */
  isHttp2Request = false;
  /** BODY_* of exchange.ts. */
  requestFraming = 0;
  /** Lower-case protocol of an accepted Upgrade, or empty. */
  upgrade = "";
  requestEnded = false;
  requestBytes = 0;
  requestTrailers: Headers | null = null;
  /** The client's address behind trusted proxies. */
  remoteIp = "";
  isGrpc = false;
  /** A health check filter knew the request. */
  isHealthCheck = false;

  routeConfig: RouteConfig | null = null;
  decision: RouteDecision | null = null;
  clusterConfig: ClusterConfig | null = null;
  endpointConfig: EndpointConfig | null = null;
  upstreamLocalAddress: string | undefined = undefined;
  upstreamFailureReason = "";
  attemptCount = 0;

  responseStatus = 0;
  responseReason = "";
  responseHeaders: Headers | null = null;
  /** Of the body; -1 when it is not known, and the codec frames it. */
  responseLength = -1;
  responseStarted = false;
  responseEnded = false;
  responseBytes = 0;
  responseFlags = "";
  responseDetails = "";
  cause = "";
  causeOrigins: readonly Origin[] = [];
  isTunnel = false;
  isDone = false;
  lastActivity: number;
  /** Longest time without a byte; the route may change it. 0 disables. */
  idleTimeoutMs: number;
  /** Whole life of the stream; the router sets 0 where it runs a limit of its own. */
  maxDurationMs: number;

  downstreamPeerMetadata: string | undefined = undefined;
  downstreamPeerMetadataId: string | undefined = undefined;
  upstreamPeerMetadata: string | undefined = undefined;
  upstreamPeerMetadataId: string | undefined = undefined;
  /** URI SANs on the connection to the endpoint; undefined on plaintext. */
  upstreamPeerUriSan: string | undefined = undefined;
  upstreamLocalUriSan: string | undefined = undefined;
  /** The connection that carried the last attempt; null: there was none. */
  upstreamExchange: Pick<UpstreamExchange, "httpVersion" | "securedBy"> | null = null;
  /** Moments for logs, in microseconds from the start: small whole numbers cost no allocation. -1: it did not happen. */
  requestEndUs = -1;
  upstreamStartUs = -1;
  upstreamRequestEndUs = -1;
  upstreamHeadUs = -1;
  upstreamEndUs = -1;
  responseStartUs = -1;
  endUs = -1;

  /** The span of the request; null: it has none. */
  span: Span | null = null;
  responseTrailers: Headers | null = null;
  /** The host that a session asks for. */
  overrideHost: ChoiceContext["overrideHost"] = null;
  /** The host that a dynamic forward proxy goes to, as its DNS cache knows it; null: no filter looked one up. */
  dynamicHost: string | null = null;
  /** Trailers of a gRPC response that a filter has put elsewhere. */
  grpcTrailers: Headers | null = null;
  /** Of a gRPC call whose messages are counted. */
  requestMessages = 0;
  responseMessages = 0;
  #metadata: Map<string, Readonly<Record<string, unknown>>> | null = null;
  /** As they were asked for, where requests are counted by host. */
  #askedHost = "";
  #askedPath = "";
  #hooks: HookLists = noHooks;
  readonly #router: Router;
  readonly #request: FilterPath = new FilterPath();
  readonly #response: FilterPath = new FilterPath();
  #isRouting = false;
  #isAnswered = false;
  /** How many want the request not to be read on: a stopped filter, the router, filters that keep much. */
  #requestPauses = 0;
  #isSinkPaused = false;
  #responsePauses = 0;
  #isSinkFull = false;

  constructor(
    manager: HttpConnectionManager,
    sink: ResponseSink,
    connection: ConnectionInfo,
    codecConnection: CodecConnection,
    headers: Headers,
  ) {
    this.manager = manager;
    this.sink = sink;
    this.connection = connection;
    this.codecConnection = codecConnection;
    this.headers = headers;
    this.startTimeMs = manager.environment.loop.now;
    this.lastActivity = this.startTimeMs;
    this.idleTimeoutMs = manager.config.streamIdleTimeoutMs;
    this.maxDurationMs = manager.config.maxStreamDurationMs;
    this.#router = new Router(this);
    manager.stats.requestBegan();
  }

  get protocol(): string {
    if (this.isHttp2) return "HTTP/2";
    return this.minorVersion === 0 ? "HTTP/1.0" : "HTTP/1.1";
  }

  get isTunnelRequest(): boolean {
    return this.requestFraming === BODY_TUNNEL;
  }

  get durationMs(): number {
    return this.manager.environment.loop.now - this.startTimeMs;
  }

  /** Microseconds since the start. */
  elapsedUs(): number {
    return Math.round(this.durationMs * 1000);
  }

  get routeName(): string {
    return this.decision?.route.name ?? "";
  }

  get grpcStatus(): string | undefined {
    const trailers = this.responseTrailers ?? this.grpcTrailers;
    return trailers?.getId(GRPC_STATUS) ?? this.responseHeaders?.getId(GRPC_STATUS);
  }

  get clientCertificate(): ClientCertificate {
    return this.connection.peer === null ? "none" : "validated";
  }

  /** A request header by lower-case name, pseudo headers included. */
  header(name: string): string | undefined {
    if (name.charCodeAt(0) === 0x3a) {
      if (name === ":path") return this.path;
      if (name === ":method") return this.method;
      if (name === ":authority") return this.authority;
      return name === ":scheme" ? this.scheme : undefined;
    }
    return name === "host" ? this.authority : this.headers.get(name);
  }

  /** A filter changes the body: its length is not known any more. */
  forgetRequestLength(): void {
    this.headers.removeId(CONTENT_LENGTH);
    this.requestFraming = BODY_CHUNKED;
  }

  /** A filter knows the whole body. */
  setRequestLength(length: number): void {
    this.headers.removeId(TRANSFER_ENCODING);
    this.headers.setId(CONTENT_LENGTH, String(length));
    this.requestFraming = length === 0 ? BODY_NONE : BODY_LENGTH;
  }

  setResponseLength(length: number): void {
    this.responseHeaders?.removeId(TRANSFER_ENCODING);
    this.responseHeaders?.setId(CONTENT_LENGTH, String(length));
    this.responseLength = length;
  }

  forgetResponseLength(): void {
    this.responseHeaders?.removeId(CONTENT_LENGTH);
    this.responseLength = -1;
  }

  setAuthority(authority: string): void {
    this.authority = authority;
    this.headers.set("host", authority);
  }

  /** What filters said of the request, by the namespace that they write under. */
  metadata(namespace: string): Readonly<Record<string, unknown>> | undefined {
    return this.#metadata?.get(namespace);
  }

  setMetadata(namespace: string, key: string, value: unknown): void {
    this.mergeMetadata({ namespace, values: { [key]: value } });
  }

  /** The values stay the writer's, who may give the same object to every stream. */
  mergeMetadata({ namespace, values }: FilterMetadata): void {
    this.#metadata ??= new Map();
    const before = this.#metadata.get(namespace);
    this.#metadata.set(namespace, before === undefined ? values : { ...before, ...values });
  }

  /** How many requests are meant, as the runtime says it. */
  share(share: RuntimeShare): number {
    return this.manager.environment.runtime.fraction(share);
  }

  /** Begins: chooses the route and runs the request through the filters. */
  start(): void {
    if (this.connection.arrival?.countsHosts === true) {
      // Before filters and the route rewrite them.
      this.#askedHost = this.authority;
      this.#askedPath = this.path;
    }
    const contentType = this.headers.getId(CONTENT_TYPE);
    this.isGrpc = contentType !== undefined && isGrpcContentType(contentType);
    const { shedding } = this.manager.environment;
    if (shedding.isActive && shedding.stopsRequest(this.manager.environment.loop.random)) {
      this.#shed();
      return;
    }
    this.selectRoute();
    if (this.manager.tracing !== null) this.manager.tracing.begin(this);
    this.#hooks = this.manager.hooks(this, filterConfigsOf(this.decision));
    if (this.requestEnded) {
      this.#request.hasEnd = true;
      this.requestEndUs = this.elapsedUs();
    }
    this.#runRequestHeaders();
  }

  /** Answers before anything was spent on the request: no route, no filter. */
  #shed(): void {
    const { environment, config } = this.manager;
    environment.shedding.shedRequests++;
    environment.stats.counter(`http.${config.statPrefix}.downstream_rq_overload_close`).add();
    this.#hooks = noFilters;
    this.sendLocalReply(overloaded, `this proxy is overloaded: ${environment.shedding.why}`, []);
  }

  /** Chooses the route from the head as it is now. The snapshot is kept until the stream ends. */
  selectRoute(): void {
    this.routeConfig = this.manager.routeConfig();
    this.decision =
      this.routeConfig === null
        ? null
        : selectRoute(this.routeConfig, this, this.manager.environment.loop.random(), null);
  }

  #runRequestHeaders(): void {
    const path = this.#request;
    const hooks = this.#hooks.requestHeaders;
    while (path.nextHeaders < hooks.length) {
      const { filter, position } = hooks[path.nextHeaders++]!;
      path.reach(position);
      // Data that a filter before has put in front of the end is still to come.
      const verdict = filter.onRequestHeaders!(this, this.headers, path.hasEnd && !path.hasHeld);
      if (verdict === DONE || this.isDone || this.#isAnswered) return;
      if (verdict !== CONTINUE) {
        this.#stopRequest(position, verdict);
        break;
      }
    }
    if (!path.isStopped) {
      path.passAll();
      this.#route();
    }
    this.#flushRequest();
  }

  #stopRequest(position: number, verdict: Verdict): void {
    this.#request.stopAt(position, verdict === HOLD);
    if (verdict === PAUSE) this.pauseRequest();
  }

  /** Sends what was held as far as it gets. */
  #flushRequest(): void {
    const path = this.#request;
    const from = path.heldFrom;
    const held = path.takeHeld();
    if (held !== null) {
      path.isFlushing = true;
      for (const data of held) {
        if (this.isDone || this.#isAnswered) return;
        this.#requestData(from, data);
      }
      path.isFlushing = false;
    }
    if (path.hasEnd && !this.isDone && !this.#isAnswered) this.#runRequestEnd();
  }

  #route(): void {
    const refusal = routingRefusal(this);
    if (refusal !== null) {
      this.sendLocalReply(refusal.reply, refusal.cause, refusal.origins);
      return;
    }
    this.#isRouting = true;
    this.#router.start(this.decision!);
  }

  /** The request goes on after PAUSE or HOLD. */
  resumeRequest(): void {
    const path = this.#request;
    if (this.isDone || this.#isAnswered || !path.isStopped) return;
    const wasPaused = path.isPaused;
    path.resume();
    if (wasPaused) this.unpauseRequest();
    if (this.#isRouting) {
      path.passAll();
      this.#flushRequest();
    } else {
      this.#runRequestHeaders();
    }
  }

  /**
   * For a filter without state of a stream, from one of its headers hooks: from here on `filter` stands in its place as
   * well, with the hooks that come later. So only streams that need state pay for it.
   */
  attach(owner: HttpFilter, filter: HttpFilter): void {
    this.#hooks = withAttached(this.#hooks, owner, filter, this.#response.nextHeaders > 0);
  }

  /** Asks the client to send no more of the request, until `unpauseRequest` was called as often. */
  pauseRequest(): void {
    this.#requestPauses++;
    // A request that is complete has nothing to stop, and whether its client goes away must still be seen.
    if (this.#isSinkPaused || this.requestEnded) return;
    this.#isSinkPaused = true;
    this.sink.pauseRequest(this);
  }

  unpauseRequest(): void {
    if (--this.#requestPauses > 0 || !this.#isSinkPaused) return;
    this.#isSinkPaused = false;
    this.sink.resumeRequest(this);
  }

  onRequestData(data: Buffer): void {
    if (this.isDone) return;
    this.requestBytes += data.length;
    this.lastActivity = this.manager.environment.loop.now;
    if (!this.#isAnswered) this.#requestData(0, data);
  }

  /** For a filter: sends data that it had kept, or made, on to the filters after it. */
  sendRequestData(from: HttpFilter, data: Buffer): void {
    if (this.isDone || this.#isAnswered || data.length === 0) return;
    this.#requestData(indexAfter(this.#hooks.requestData, positionIn(this.#hooks, from)), data);
  }

  #requestData(from: number, data: Buffer): void {
    const path = this.#request;
    const hooks = this.#hooks.requestData;
    for (let i = from; i < hooks.length; i++) {
      const { filter, position } = hooks[i]!;
      if (path.stops(position)) {
        path.hold(i, data);
        return;
      }
      const next = filter.onRequestData!(this, data);
      if (next === null || this.isDone || this.#isAnswered) return;
      data = next;
    }
    if (path.isStopped || !this.#isRouting) path.hold(hooks.length, data);
    else if (data.length > 0) this.#router.onRequestData(data);
  }

  onRequestEnd(trailers: Headers | null): void {
    if (this.isDone || this.requestEnded) return;
    this.requestEnded = true;
    this.requestEndUs = this.elapsedUs();
    this.requestTrailers = trailers;
    this.#request.hasEnd = true;
    if (!this.#isAnswered) this.#runRequestEnd();
  }

  #runRequestEnd(): void {
    const path = this.#request;
    if (path.isFlushing) return;
    const hooks = this.#hooks.requestEnd;
    while (path.nextEnd < hooks.length) {
      const { filter, position } = hooks[path.nextEnd]!;
      if (path.stops(position)) return;
      path.nextEnd++;
      const verdict = filter.onRequestEnd!(this, this.requestTrailers);
      if (verdict === DONE || this.isDone || this.#isAnswered) return;
      if (verdict === PAUSE) {
        this.#stopRequest(position, PAUSE);
        return;
      }
    }
    if (path.isStopped || !this.#isRouting || path.isEndSent) return;
    path.isEndSent = true;
    this.#router.onRequestEnd();
    if (this.isTunnel && this.responseEnded) this.finish();
  }

  /** The upstream's head, or the head of a redirect or direct response. */
  onResponseHead(end: boolean): void {
    if (this.isDone) return;
    this.lastActivity = this.manager.environment.loop.now;
    this.#response.hasEnd = end;
    this.#runResponseHeaders();
  }

  #runResponseHeaders(): void {
    const path = this.#response;
    const headers = this.responseHeaders!;
    const hooks = this.#hooks.responseHeaders;
    while (path.nextHeaders < hooks.length) {
      const { filter, position } = hooks[path.nextHeaders++]!;
      path.reach(position);
      const verdict = filter.onResponseHeaders!(this, headers, path.hasEnd && !path.hasHeld);
      if (verdict === DONE || this.isDone) return;
      if (verdict !== CONTINUE) {
        this.#stopResponse(position, verdict);
        break;
      }
    }
    if (!path.isStopped) {
      path.passAll();
      this.#sendHead(headers);
    }
    this.#flushResponse();
  }

  #stopResponse(position: number, verdict: Verdict): void {
    this.#response.stopAt(position, verdict === HOLD);
    if (verdict === PAUSE) this.pauseResponse();
  }

  #sendHead(headers: Headers): void {
    const path = this.#response;
    this.manager.finishResponseHead(this, headers);
    this.responseStarted = true;
    this.responseStartUs = this.elapsedUs();
    this.sink.sendHead(this, path.hasEnd && !path.hasHeld);
  }

  #flushResponse(): void {
    const path = this.#response;
    const from = path.heldFrom;
    const held = path.takeHeld();
    if (held !== null) {
      path.isFlushing = true;
      for (const data of held) {
        if (this.isDone) return;
        this.#responseData(from, data);
      }
      path.isFlushing = false;
    }
    if (path.hasEnd && !this.isDone) this.#runResponseEnd();
  }

  /** The response goes on after PAUSE or HOLD. */
  resumeResponse(): void {
    const path = this.#response;
    if (this.isDone || !path.isStopped) return;
    const wasPaused = path.isPaused;
    path.resume();
    if (this.responseStarted) {
      path.passAll();
      this.#flushResponse();
    } else {
      this.#runResponseHeaders();
    }
    if (wasPaused) this.unpauseResponse();
  }

  /** Asks the upstream to send no more of the response, until `unpauseResponse` was called as often. */
  pauseResponse(): void {
    if (this.#responsePauses++ === 0) this.#router.pauseResponse();
  }

  unpauseResponse(): void {
    if (--this.#responsePauses === 0 && !this.isDone) this.#router.resumeResponse();
  }

  onResponseData(data: Buffer): void {
    if (this.isDone) return;
    this.lastActivity = this.manager.environment.loop.now;
    this.#responseData(0, data);
  }

  /** For a filter: sends data that it had kept, or made, on to the filters after it. */
  sendResponseData(from: HttpFilter, data: Buffer): void {
    if (this.isDone || data.length === 0) return;
    const position = this.#hooks.length - 1 - positionIn(this.#hooks, from);
    this.#responseData(indexAfter(this.#hooks.responseData, position), data);
  }

  #responseData(from: number, data: Buffer): void {
    const path = this.#response;
    const hooks = this.#hooks.responseData;
    for (let i = from; i < hooks.length; i++) {
      const { filter, position } = hooks[i]!;
      if (path.stops(position)) {
        path.hold(i, data);
        return;
      }
      const next = filter.onResponseData!(this, data);
      if (next === null || this.isDone) return;
      data = next;
    }
    if (path.isStopped || !this.responseStarted) {
      path.hold(hooks.length, data);
      return;
    }
    if (data.length === 0) return;
    this.responseBytes += data.length;
    if (this.sink.sendData(this, data) || this.#isSinkFull) return;
    this.#isSinkFull = true;
    this.pauseResponse();
  }

  onResponseEnd(trailers: Headers | null): void {
    const path = this.#response;
    if (this.isDone || path.isEndSent) return;
    path.hasEnd = true;
    this.responseTrailers = trailers;
    this.#runResponseEnd();
  }

  #runResponseEnd(): void {
    const path = this.#response;
    if (path.isFlushing) return;
    const hooks = this.#hooks.responseEnd;
    while (path.nextEnd < hooks.length) {
      const { filter, position } = hooks[path.nextEnd]!;
      if (path.stops(position)) return;
      path.nextEnd++;
      const verdict = filter.onResponseEnd!(this, this.responseTrailers);
      if (verdict === DONE || this.isDone) return;
      if (verdict === PAUSE) {
        this.#stopResponse(position, PAUSE);
        return;
      }
    }
    if (path.isStopped || !this.responseStarted || path.isEndSent) return;
    path.isEndSent = true;
    this.responseEnded = true;
    this.sink.sendEnd(this, this.responseTrailers);
    if (!this.isTunnel || this.requestEnded) this.finish();
  }

  /** The client's side can take more. */
  onSinkDrain(): void {
    if (!this.#isSinkFull) return;
    this.#isSinkFull = false;
    this.unpauseResponse();
  }

  /** Both directions carry raw bytes from here on. */
  becomeTunnel(): void {
    this.isTunnel = true;
    this.sink.becomeTunnel(this);
  }

  addFlag(flag: string): void {
    this.responseFlags = withFlag(this.responseFlags, flag);
  }

  /**
   * Answers the request here. `cause` says why in words; `origins` are the user's resources behind it. Does nothing but
   * reset the client when a response has begun.
   */
  sendLocalReply(
    reply: LocalReply,
    cause: string,
    origins: readonly Origin[],
    decorate?: (headers: Headers) => void,
  ): void {
    if (this.isDone) return;
    this.addFlag(reply.flag);
    this.responseDetails = reply.details;
    this.cause = origins.length === 0 ? cause : `${cause} [${origins.map(formatOrigin).join(", ")}]`;
    this.causeOrigins = origins;
    if (this.responseStarted) {
      this.abortResponse();
      return;
    }
    this.#isAnswered = true;
    this.#router.abandon();
    this.#beginAnswer();
    const headers = new Headers();
    this.responseHeaders = headers;
    const body = localReplyMessage(this, reply, headers);
    decorate?.(headers);
    this.responseLength = body.length;
    const empty = body.length === 0 || this.method === "HEAD";
    // A gRPC client takes an answer without content by its trailers alone.
    if (!this.isGrpc || !this.isHttp2) headers.add("content-length", String(body.length));
    this.onResponseHead(empty);
    if (this.isDone || empty) return;
    this.onResponseData(body);
    this.onResponseEnd(null);
  }

  /**
   * The answer passes the filters like any response, unless they have seen one: an upstream's, whose head one of them
   * keeps. Then it goes to the client as it is, because no filter is asked twice about one stream.
   */
  #beginAnswer(): void {
    if (this.#hooks === noHooks) this.#hooks = this.manager.hooks(this, null);
    if (this.#response.nextHeaders === 0) return;
    this.#hooks = { ...this.#hooks, responseHeaders: [], responseData: [], responseEnd: [] };
    this.#response.restart();
  }

  /** Ends a response that has begun and can't be completed. */
  abortResponse(): void {
    if (this.isDone) return;
    this.sink.reset(this);
    this.finish();
  }

  /** The client went away, gave up, or broke the rules of its protocol: nobody is left to answer. */
  onClientGone(details = "downstream_remote_disconnect", flag: "DC" | "DR" | "DPE" | "LR" = "DC"): void {
    if (this.isDone) return;
    this.addFlag(flag);
    if (this.responseDetails === "" || this.responseDetails === "via_upstream") this.responseDetails = details;
    this.finish();
  }

  /** The end, once, whatever led to it. */
  finish(): void {
    if (this.isDone) return;
    this.isDone = true;
    const { loop } = this.manager.environment;
    this.endUs = this.elapsedUs();
    this.manager.stats.requestEnded(this.isHttp2, this.responseStatus, this.durationMs, loop.now);
    if (this.attemptCount > 0 && this.decision !== null && this.decision.route.statPrefix !== "") this.#countForRoute();
    const { arrival } = this.connection;
    if (arrival !== null) {
      const isForwarded = this.endpointConfig !== null;
      if (arrival.countsHosts) arrival.countRequest(this.method, this.#askedPath, isForwarded, this.#askedHost);
      else arrival.countRequest(this.method, this.path, isForwarded);
    }
    const hooks = this.#hooks.complete;
    for (let i = 0; i < hooks.length; i++) {
      try {
        hooks[i]!.onComplete!(this);
      } catch (error) {
        loop.onBroken(error);
      }
    }
    this.manager.writeAccessLog(this);
    this.#router.destroy();
    if (this.span !== null) this.#endSpan(this.span);
    this.sink.streamDone(this);
  }

  #endSpan(span: Span): void {
    try {
      this.manager.tracing?.end(this, span);
    } catch (error) {
      this.manager.environment.loop.onBroken(error);
    }
  }

  #countForRoute(): void {
    const flags = this.responseFlags.split(",");
    const outcome = {
      status: this.responseStatus,
      attempts: this.attemptCount,
      timedOut: flags.includes("UT"),
      exhausted: flags.includes("URX"),
      durationMs: this.durationMs,
    };
    this.manager.routeStats(this.decision!).count(outcome, this.manager.environment.loop.now);
  }
}

/** `application/grpc`, with a message format or parameters or without; gRPC-Web is something else. */
function isGrpcContentType(contentType: string): boolean {
  if (!contentType.startsWith("application/grpc")) return false;
  const next = contentType.charCodeAt(16);
  return contentType.length === 16 || next === 0x2b || next === 0x3b;
}
