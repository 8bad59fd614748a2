// HOT: per request. The end of the filter chain: carries out the route's action. It chooses an endpoint, takes a
// connection from its pool, sends the request, hands the response to the stream, and tries again where the retry
// policy, or the keep-alive race, asks for it. Timers exist only where a timeout is configured.

import type { Origin } from "#base/issue.ts";
import {
  CONNECTION,
  UPGRADE,
  X_ENVOY_ATTEMPT_COUNT,
  X_ENVOY_UPSTREAM_SERVICE_TIME,
  X_OUTRIGGER_UNDELIVERED,
} from "#wire/http/header-names.ts";
import type { Headers } from "#wire/http/headers.ts";
import type { ForwardAction, RetryPolicy } from "../../../config/http.ts";
import type { RouteDecision } from "../../../decide/route.ts";
import { protocolFor } from "../../../decide/upstream-protocol.ts";
import type { SocketFailure } from "../../../transport/socket-error.ts";
import type { CircuitBreaker } from "../../../upstream/circuit-breaker.ts";
import type { Cluster } from "../../../upstream/cluster.ts";
import { recordTime } from "../../../upstream/cluster-counters.ts";
import type { UpstreamEndpoint } from "../../../upstream/endpoint.ts";
import {
  BODY_NONE,
  RESET_CONNECT_FAILURE,
  RESET_OVERFLOW,
  RESET_PROTOCOL_ERROR,
  RESET_REFUSED,
  RESET_REMOTE,
  RESET_STALE,
  type ResponseHead,
  type UpstreamExchange,
} from "../../../upstream/exchange.ts";
import type { ExchangeSource } from "../../../upstream/http-pool.ts";
import { whyNoEndpoint } from "../../../upstream/why-no-endpoint.ts";
import {
  clusterNotFound,
  dropOverload,
  type LocalReply,
  maxStreamDuration,
  noHealthyUpstream,
  noWeightedCluster,
  perTryIdleTimeout,
  perTryTimeout,
  reasonPhrase,
  responseTimeout,
  upstreamMaxStreamDuration,
  upstreamReset,
} from "../../local-replies.ts";
import { removeHopByHop, removeNominated } from "../../request-head.ts";
import type { Stream } from "../../stream.ts";
import type { Span } from "../../tracing/span.ts";
import { type AttemptOwner, UpstreamAttempt } from "./attempt.ts";
import { sendDirectResponse, sendRedirect } from "./configured-reply.ts";
import { type Mirrors, startMirrors } from "./mirror.ts";
import {
  backoffMs,
  isIdempotent,
  leftPriorities,
  rateLimitedBackoffMs,
  retriesReset,
  retriesStatus,
  retriesTimeout,
} from "./retry.ts";
import { retryPolicyFor } from "./retry-policy.ts";
import { rewriteAuthority, rewriteRequest } from "./rewrite.ts";
import { mutateRequestHeaders, mutateResponseHeaders } from "./route-headers.ts";
import { hashStream, noHash, type StreamHash } from "./stream-hash.ts";
import { type RequestTimeouts, requestTimeouts, tellExpectedTimeout } from "./timeouts.ts";

/** Request body bytes kept for another try. A longer body is sent once. */
const maxReplayBytes = 256 * 1024;
/** Body bytes held while there is no connection yet; then the client has to wait. */
const maxHeldBytes = 64 * 1024;

export class Router implements AttemptOwner {
  readonly #stream: Stream;
  #action: ForwardAction | null = null;
  #retryPolicy: RetryPolicy | null = null;
  #timeouts: RequestTimeouts = noTimeouts;
  #mirrors: Mirrors | null = null;
  #hash: StreamHash = noHash;
  #cluster: Cluster | null = null;
  #attempt: UpstreamAttempt | null = null;
  /** Where each attempt has a span of its own. */
  #attemptSpan: Span | null = null;
  /** Set while the request is counted. */
  #breaker: CircuitBreaker | null = null;
  /** The whole request has passed the filters. */
  #isRequestComplete = false;
  /** Body sent or to be sent again; null once it is too long or no retry can happen. */
  #replay: Buffer[] | null = null;
  #replayBytes = 0;
  #isRequestPaused = false;
  #retries = 0;
  #staleRetried = false;
  /** Some attempt was sent, so that the server may have seen the request. */
  #wasSent = false;
  #avoidsTried = false;
  #isRetryCounted = false;
  #tried: UpstreamEndpoint[] | null = null;
  #headSentAt = 0;
  /** The Connection header of the response: trailers that it names go the way of the headers. */
  #nominatedNames = "";
  /** When the whole request was here; 0: it is not. */
  #receivedAt = 0;
  #cancelRouteTimer: (() => void) | null = null;
  #cancelStreamTimer: (() => void) | null = null;
  #cancelBackoff: (() => void) | null = null;
  #isOver = false;

  constructor(stream: Stream) {
    this.#stream = stream;
  }

  /** Carries out the route. */
  start(decision: RouteDecision): void {
    const stream = this.#stream;
    const action = decision.route.action;
    if (action.type === "forward") {
      this.#forward(decision, action.forward);
      return;
    }
    this.#isOver = true;
    if (action.type === "redirect") sendRedirect(stream, decision, action.redirect);
    else sendDirectResponse(stream, decision, action);
  }

  #forward(decision: RouteDecision, action: ForwardAction): void {
    const stream = this.#stream;
    const { manager } = stream;
    this.#action = action;
    const origins = decision.route.provenance.origins;
    if (decision.cluster === null) {
      this.#fail(noWeightedCluster, `every destination of route "${decision.route.name}" has weight 0`, origins);
      return;
    }
    const { name } = decision.cluster;
    const cluster = manager.environment.clusters.get(name);
    if (cluster === undefined) {
      const cause = `route "${decision.route.name}" names the cluster "${name}", which does not exist`;
      this.#fail({ ...clusterNotFound, status: action.clusterNotFoundStatus }, cause, origins);
      return;
    }
    this.#cluster = cluster;
    stream.clusterConfig = cluster.config;
    const dropped = cluster.drawDropOverload();
    if (dropped !== null) {
      this.#fail(
        dropOverload,
        `the endpoints of ${cluster.config.name} ask for less load: "${dropped}"`,
        this.#origins(),
      );
      return;
    }
    if (action.hashPolicies.length > 0) this.#hash = hashStream(stream, action.hashPolicies);
    this.#retryPolicy = retryPolicyFor(stream, action.retry);
    this.#timeouts = requestTimeouts(stream, action);
    if (!manager.suppressesEnvoyHeaders) tellExpectedTimeout(stream.headers, this.#timeouts);
    if (action.maxStreamDurationMs !== null || this.#timeouts.isGrpcDeadline) stream.maxDurationMs = 0;
    stream.idleTimeoutMs = action.idleTimeoutMs ?? stream.idleTimeoutMs;
    if (this.#timeouts.streamMs > 0) {
      this.#cancelStreamTimer = cluster.loop.after(this.#timeouts.streamMs, () => this.#streamTimedOut());
    }
    rewriteRequest(stream, action);
    mutateRequestHeaders(stream, decision);
    const breaker = cluster.breakers[action.priority];
    const refusal = breaker.takeRequest();
    if (refusal !== null) {
      this.onAttemptReset(RESET_OVERFLOW, refusal, false);
      return;
    }
    this.#breaker = breaker;
    this.#replay = [];
    const { span } = stream;
    if (span !== null && manager.tracing?.spawnsUpstreamSpan === false) manager.tracing.send(stream, span);
    if (action.mirrors.length > 0) this.#mirrors = startMirrors(stream, action.mirrors, this.#timeouts.routeMs);
    this.#try();
  }

  #origins(): readonly Origin[] {
    const own = this.#cluster?.config.provenance.origins ?? [];
    return own.length > 0 ? own : (this.#stream.decision?.route.provenance.origins ?? []);
  }

  /** Begins one attempt. */
  #try(): void {
    const stream = this.#stream;
    const cluster = this.#cluster!;
    const retry = this.#retryPolicy;
    const { connection } = stream;
    const destination =
      cluster.config.type !== "original_dst" || connection.isOwnAddress
        ? null
        : { ip: connection.destinationIp, port: connection.destinationPort };
    const avoid = this.#avoidsTried || retry?.avoidPreviousHosts === true ? this.#tried : null;
    const endpoint = cluster.choose({
      destination,
      hash: this.#hash.hash,
      metadataMatch: stream.decision!.cluster!.metadataMatch,
      excluded: avoid,
      attempts: this.#avoidsTried ? undeliveredSelectionAttempts : (retry?.hostSelectionAttempts ?? 0),
      leftPriorities: this.#tried === null || retry === null ? null : leftPriorities(retry, this.#tried),
      avoidsCanaries: retry !== null && retry.avoidCanaryHosts && this.#retries > 0,
      // Another attempt may go elsewhere.
      overrideHost: stream.attemptCount === 0 ? stream.overrideHost : null,
      headers: stream.headers,
      dynamicHost: stream.dynamicHost,
    });
    stream.attemptCount++;
    if (endpoint === null) {
      this.#fail(noHealthyUpstream, whyNoEndpoint(cluster, connection, stream.dynamicHost), this.#origins());
      return;
    }
    stream.endpointConfig = endpoint.config;
    const attempt = new UpstreamAttempt(this, endpoint, cluster.loop);
    this.#attempt = attempt;
    if (stream.span !== null && stream.manager.tracing?.spawnsUpstreamSpan === true) {
      this.#attemptSpan = stream.manager.tracing.beginAttempt(stream, stream.span);
    }
    const { perTryMs, perTryIdleMs } = this.#timeouts;
    if (perTryMs > 0 || perTryIdleMs > 0) attempt.limit(perTryMs, perTryIdleMs);
    if (this.#action!.hostRewrite?.type === "endpoint" && endpoint.config.hostname !== "") {
      rewriteAuthority(stream, this.#action!, endpoint.config.hostname);
    }
    attempt.connect(this.#source(cluster, endpoint));
  }

  #source(cluster: Cluster, endpoint: UpstreamEndpoint): ExchangeSource {
    const stream = this.#stream;
    const { priority, upgrades } = this.#action!;
    if (stream.isTunnelRequest && stream.upgrade === "" && upgrades.get("connect")?.terminatesConnect === true) {
      return cluster.tunnel(endpoint, priority, stream.connection);
    }
    const wish = protocolFor(cluster.config, stream, stream.manager.overridesAlpn);
    return cluster.pool(endpoint, wish, priority, stream.connection);
  }

  onAttemptReady(exchange: UpstreamExchange): void {
    const stream = this.#stream;
    this.#wasSent = true;
    this.#headSentAt = stream.manager.environment.loop.now;
    stream.upstreamExchange = exchange;
    stream.upstreamStartUs = stream.elapsedUs();
    if (this.#isRequestComplete) stream.upstreamRequestEndUs = stream.upstreamStartUs;
    stream.upstreamLocalAddress = exchange.localAddress;
    stream.upstreamPeerUriSan = exchange.securedBy.peerUriSan;
    stream.upstreamLocalUriSan = exchange.securedBy.localUriSan;
    if (stream.decision!.virtualHost.includeAttemptCount) {
      stream.headers.setId(X_ENVOY_ATTEMPT_COUNT, String(stream.attemptCount));
    }
    const hasBody = stream.requestFraming !== BODY_NONE;
    exchange.start(stream, !hasBody);
    const lifeMs = this.#timeouts.attemptMs ?? this.#cluster!.config.maxStreamDurationMs;
    if (lifeMs > 0) this.#attempt?.limitLife(lifeMs);
    if (hasBody && this.#replay !== null) for (const data of this.#replay) exchange.writeData(data);
    if (!this.#canStillRetry()) this.#replay = null;
    if (this.#isRequestComplete && hasBody) exchange.endRequest(stream.requestTrailers);
    this.#resumeRequest();
  }

  /** Whether another attempt could follow, so that the body must be kept. */
  #canStillRetry(): boolean {
    if (this.#retryPolicy !== null && this.#retries < this.#retryPolicy.numRetries) return true;
    const exchange = this.#attempt?.exchange ?? null;
    return !this.#staleRetried && exchange !== null && (exchange.requestsBefore > 0 || exchange.mayBeRefused);
  }

  onRequestData(data: Buffer): void {
    if (this.#isOver) return;
    this.#mirrors?.onRequestData(data);
    const exchange = this.#attempt?.exchange ?? null;
    if (this.#replay !== null) {
      this.#replayBytes += data.length;
      if (this.#replayBytes > maxReplayBytes && exchange !== null) this.#replay = null;
      else this.#replay.push(data);
    }
    if (exchange !== null) {
      if (!exchange.writeData(data)) this.#pauseRequest();
    } else if (this.#replayBytes > maxHeldBytes) {
      this.#pauseRequest();
    }
  }

  onRequestEnd(): void {
    if (this.#isOver || this.#isRequestComplete) return;
    this.#isRequestComplete = true;
    this.#mirrors?.onRequestEnd(this.#stream.requestTrailers);
    this.#requestReceived();
    this.#attempt?.exchange?.endRequest(this.#stream.requestTrailers);
  }

  /** The route timeout runs from when the whole request is here until the whole response went out. */
  #requestReceived(): void {
    this.#receivedAt = this.#cluster!.loop.now;
    if (this.#attempt?.exchange != null) this.#stream.upstreamRequestEndUs = this.#stream.elapsedUs();
    const timeoutMs = this.#timeouts.routeMs;
    if (timeoutMs > 0 && this.#cancelRouteTimer === null) {
      this.#cancelRouteTimer = this.#cluster!.loop.after(timeoutMs, () => this.#routeTimedOut(timeoutMs));
    }
  }

  #pauseRequest(): void {
    if (this.#isRequestPaused) return;
    this.#isRequestPaused = true;
    this.#stream.pauseRequest();
  }

  #resumeRequest(): void {
    if (!this.#isRequestPaused) return;
    this.#isRequestPaused = false;
    this.#stream.unpauseRequest();
  }

  onAttemptDrain(): void {
    this.#resumeRequest();
  }

  onAttemptInformational(head: ResponseHead): void {
    const stream = this.#stream;
    if (stream.responseStarted) return;
    removeHopByHop(head.headers, head.headers.getId(CONNECTION) ?? "");
    stream.sink.sendInformational(stream, head.status, head.headers);
  }

  onAttemptHead(head: ResponseHead, end: boolean, isUpgraded: boolean): void {
    const stream = this.#stream;
    const attempt = this.#attempt!;
    const retry = this.#retryPolicy;
    this.#cluster!.countStatus(head.status);
    if (this.#attemptSpan !== null) this.#attemptSpan.status = head.status;
    if (head.status === 503 && this.#retryUndelivered(head)) return;
    if (retry !== null && !isUpgraded && retriesStatus(retry, head.status, head.headers)) {
      const waitMs = rateLimitedBackoffMs(retry, head.headers, stream.manager.environment.loop.clock.now());
      if (this.#retry(retry, waitMs)) return;
    }
    attempt.accept();
    this.#replay = null;
    stream.upstreamHeadUs = stream.elapsedUs();
    if (head.status >= 500) attempt.endpoint.requestErrors++;
    const headers = head.headers;
    stream.responseStatus = head.status;
    stream.responseReason = head.reason === "" ? reasonPhrase(head.status) : head.reason;
    stream.responseHeaders = headers;
    stream.responseLength = head.contentLength;
    stream.responseDetails = "via_upstream";
    // The server chooses the protocol, of those that were asked for.
    if (isUpgraded) stream.upgrade = headers.getId(UPGRADE) ?? stream.upgrade;
    this.#nominatedNames = headers.getId(CONNECTION) ?? "";
    removeHopByHop(headers, this.#nominatedNames);
    for (const cookie of this.#hash.cookies) headers.add("set-cookie", cookie);
    if (stream.decision!.virtualHost.includeAttemptCountInResponse) {
      headers.setId(X_ENVOY_ATTEMPT_COUNT, String(stream.attemptCount));
    }
    if (!stream.manager.suppressesEnvoyHeaders) this.#setServiceTime(headers);
    mutateResponseHeaders(stream, headers);
    if (isUpgraded) stream.becomeTunnel();
    stream.onResponseHead(end);
  }

  #setServiceTime(headers: Headers): void {
    const serviceMs = Math.round(this.#cluster!.loop.now - this.#headSentAt);
    headers.setId(
      X_ENVOY_UPSTREAM_SERVICE_TIME,
      serviceMs < 16 ? smallNumbers[serviceMs < 0 ? 0 : serviceMs]! : String(serviceMs),
    );
  }

  onAttemptData(data: Buffer): void {
    this.#stream.onResponseData(data);
  }

  onAttemptEnd(trailers: Headers | null): void {
    if (trailers !== null && this.#nominatedNames !== "") removeNominated(trailers, this.#nominatedNames);
    const { counters, loop } = this.#cluster!;
    this.#stream.upstreamEndUs = this.#stream.elapsedUs();
    if (this.#receivedAt > 0) recordTime(counters, "requests", this.#receivedAt, loop.now);
    this.#stream.onResponseEnd(trailers);
  }

  pauseResponse(): void {
    this.#attempt?.pauseResponse();
  }

  resumeResponse(): void {
    this.#attempt?.resumeResponse();
  }

  /** An attempt ended without a complete response. */
  onAttemptReset(reason: number, failure: SocketFailure | null, requestStarted: boolean): void {
    const stream = this.#stream;
    if (this.#isOver) return;
    const attempt = this.#attempt;
    if (failure !== null && failure.transportReason !== "") stream.upstreamFailureReason = failure.transportReason;
    if (attempt !== null) attempt.endpoint.requestErrors++;
    if (attempt === null || !attempt.responseBegan) {
      if ((reason === RESET_STALE || reason === RESET_REFUSED) && this.#retryUnseen(reason)) return;
      const retry = this.#retryPolicy;
      if (retry !== null && retriesReset(retry, reason, requestStarted) && this.#retry(retry, null)) return;
      const reply = resetReply(reason, failure);
      // Sent before, and then refused: safe again only where a second time does no harm.
      const isUndelivered = reason === RESET_CONNECT_FAILURE && (!this.#wasSent || isIdempotent(stream.method));
      const cause = `${this.#place()}: ${failure?.words ?? "the connection was reset"}`;
      this.#fail(reply, cause, this.#origins(), isUndelivered);
      return;
    }
    const [flag, words] = resetMeaning(reason);
    stream.addFlag(flag);
    stream.responseDetails = `upstream_reset_after_response_started{${words.replaceAll(" ", "_")}}`;
    stream.cause = `${this.#place()}: the response is not complete: ${failure?.words ?? "the connection ended"}`;
    stream.abortResponse();
  }

  /**
   * The server did not look at the request: it closed an idle connection while the request was on its way (the
   * keep-alive race), or said so itself (RFC 9113 8.7), in which case any method may be sent again.
   */
  #retryUnseen(reason: number): boolean {
    if (this.#staleRetried || this.#replay === null) return false;
    if (reason === RESET_STALE && !isIdempotent(this.#stream.method)) return false;
    this.#staleRetried = true;
    this.#endAttempt();
    this.#stream.attemptCount--;
    this.#try();
    return true;
  }

  /** Tries again later; false when that may not be. `waitMs` is how long the server asked to wait. */
  #retry(policy: RetryPolicy, waitMs: number | null): boolean {
    const cluster = this.#cluster!;
    if (this.#retries >= policy.numRetries) {
      if (policy.numRetries > 0) {
        this.#stream.addFlag("URX");
        cluster.counters.retryLimitExceeded++;
      }
      return false;
    }
    if (this.#replay === null || this.#replayBytes > maxReplayBytes) return false;
    if (!this.#takeRetry()) return false;
    this.#retries++;
    cluster.counters.retriesTotal++;
    if (this.#attempt !== null) (this.#tried ??= []).push(this.#attempt.endpoint);
    this.#endAttempt();
    const delay = waitMs ?? backoffMs(policy, this.#retries, cluster.loop.random());
    this.#cancelBackoff = cluster.loop.after(delay, () => {
      this.#cancelBackoff = null;
      this.#try();
    });
    return true;
  }

  /** Each retry is asked about anew: a budget may have become smaller meanwhile (as in Envoy). */
  #takeRetry(): boolean {
    const breaker = this.#breaker;
    if (this.#isRetryCounted) breaker?.giveRetry();
    this.#isRetryCounted = breaker?.takeRetry() === true;
    if (!this.#isRetryCounted) this.#stream.addFlag("UO");
    return this.#isRetryCounted;
  }

  #endAttempt(): void {
    const attempt = this.#attempt;
    this.#attempt = null;
    const span = this.#attemptSpan;
    this.#attemptSpan = null;
    if (span !== null) this.#stream.manager.tracing?.endAttempt(this.#stream, span);
    attempt?.end();
  }

  /** Where the attempt is going, for people. */
  #place(): string {
    return this.#attempt?.endpoint.config.key ?? this.#cluster?.config.name ?? "";
  }

  onAttemptTimeout(limitMs: number, isIdle: boolean): void {
    const attempt = this.#attempt;
    if (this.#isOver || attempt === null) return;
    attempt.timedOut();
    this.#cluster!.counters.perTryTimeouts++;
    const retry = this.#retryPolicy;
    if (!attempt.responseBegan && retry !== null && retriesTimeout(retry) && this.#retry(retry, null)) return;
    const cause = isIdle
      ? `${this.#place()} sent nothing for the per-try idle timeout of ${limitMs} ms`
      : `${this.#place()} did not answer within the per-try timeout of ${limitMs} ms`;
    this.#fail(isIdle ? perTryIdleTimeout : perTryTimeout, cause, this.#origins());
  }

  onAttemptTooLong(limitMs: number): void {
    const attempt = this.#attempt;
    if (this.#isOver || attempt === null) return;
    this.#cluster!.counters.maxDurations++;
    const retry = this.#retryPolicy;
    if (!attempt.responseBegan && retry !== null && retriesTimeout(retry) && this.#retry(retry, null)) {
      return;
    }
    const status = this.#isRequestComplete ? upstreamMaxStreamDuration.status : 408;
    const cause = `${this.#place()} was not done within the longest duration of a stream to it, ${limitMs} ms`;
    this.#fail({ ...upstreamMaxStreamDuration, status }, cause, this.#origins());
  }

  #streamTimedOut(): void {
    this.#cancelStreamTimer = null;
    if (this.#isOver) return;
    const { streamMs, isGrpcDeadline } = this.#timeouts;
    const whose = isGrpcDeadline ? "the client's grpc-timeout" : "the longest duration of a stream";
    const origins = this.#stream.decision?.route.provenance.origins ?? [];
    this.#fail(maxStreamDuration, `${this.#place()} was not done within ${whose}, ${streamMs} ms`, origins);
  }

  #routeTimedOut(timeoutMs: number): void {
    this.#cancelRouteTimer = null;
    if (this.#isOver) return;
    this.#attempt?.timedOut();
    this.#cluster!.counters.timeouts++;
    const origins = this.#stream.decision?.route.provenance.origins ?? [];
    this.#fail(
      responseTimeout,
      `${this.#place()} did not answer within the route's timeout of ${timeoutMs} ms`,
      origins,
    );
  }

  /** Another sidecar is told when the application can't have seen the request: it may try another endpoint. */
  #fail(reply: LocalReply, cause: string, origins: readonly Origin[], isUndelivered = false): void {
    const stream = this.#stream;
    stream.sendLocalReply(reply, cause, origins, (headers) => {
      mutateResponseHeaders(stream, headers);
      if (isUndelivered && stream.connection.negotiatedAlpn === meshHttp2) {
        headers.setId(X_OUTRIGGER_UNDELIVERED, "1");
      }
    });
  }

  /**
   * The other sidecar could not reach its application, as while a pod ends: nobody saw the request, so it goes to
   * another endpoint, whatever the retry policy says. False when that may not be.
   */
  #retryUndelivered(head: ResponseHead): boolean {
    const attempt = this.#attempt!;
    const said = head.headers.getId(X_OUTRIGGER_UNDELIVERED) !== undefined;
    head.headers.removeId(X_OUTRIGGER_UNDELIVERED);
    if (!said || attempt.exchange?.securedBy.negotiatedAlpn !== meshHttp2) return false;
    (this.#tried ??= []).push(attempt.endpoint);
    this.#avoidsTried = true;
    return this.#retryUnseen(RESET_REFUSED);
  }

  /** Stops without an answer, because the stream answers itself. */
  abandon(): void {
    this.#release();
  }

  destroy(): void {
    this.#release();
  }

  #release(): void {
    this.#isOver = true;
    this.#cancelRouteTimer?.();
    this.#cancelRouteTimer = null;
    this.#cancelStreamTimer?.();
    this.#cancelStreamTimer = null;
    this.#cancelBackoff?.();
    this.#cancelBackoff = null;
    this.#mirrors?.abandon();
    this.#mirrors = null;
    this.#replay = null;
    this.#endAttempt();
    const breaker = this.#breaker;
    if (breaker === null) return;
    this.#breaker = null;
    breaker.giveRequest();
    if (this.#isRetryCounted) breaker.giveRetry();
    this.#isRetryCounted = false;
  }
}

const noTimeouts: RequestTimeouts = {
  routeMs: 0,
  perTryMs: 0,
  perTryIdleMs: 0,
  streamMs: 0,
  attemptMs: null,
  isGrpcDeadline: false,
};

/** The protocol of Outrigger's sidecars among themselves. */
const meshHttp2 = "istio-h2";
/** A host that fails at once is the least busy one: it takes many draws to find another for certain. */
const undeliveredSelectionAttempts = 100;

const smallNumbers: readonly string[] = Array.from({ length: 16 }, (_, i) => String(i));

function resetReply(reason: number, failure: SocketFailure | null): LocalReply {
  const [flag, words] = resetMeaning(reason);
  return upstreamReset(flag, words, reason === RESET_CONNECT_FAILURE ? (failure?.transportReason ?? "") : "");
}

/** Envoy's flag and words for the end of an exchange. */
function resetMeaning(reason: number): readonly ["UF" | "UC" | "UO" | "UPE" | "UR", string] {
  switch (reason) {
    case RESET_OVERFLOW:
      return ["UO", "overflow"];
    case RESET_CONNECT_FAILURE:
      return ["UF", "remote connection failure"];
    case RESET_PROTOCOL_ERROR:
      return ["UPE", "protocol error"];
    case RESET_REMOTE:
      return ["UR", "remote reset"];
    case RESET_REFUSED:
      return ["UR", "remote refused stream reset"];
    default:
      return ["UC", "connection termination"];
  }
}
