// HOT: per attempt. One try of a request at one endpoint: it waits for a connection, carries the exchange, runs the
// per-try timeout, and gives back what it holds exactly once. What an outcome means for the request is the router's
// business.
import { httpStatusOfGrpc } from "#wire/grpc/http-status.ts";
import { GRPC_STATUS } from "#wire/http/header-names.ts";
import type { Headers } from "#wire/http/headers.ts";
import type { EventLoop } from "../../../transport/event-loop.ts";
import { FailureKind, type SocketFailure } from "../../../transport/socket-error.ts";
import type { UpstreamEndpoint } from "../../../upstream/endpoint.ts";
import {
  RESET_CLUSTER_GONE,
  RESET_OVERFLOW,
  RESET_STALE,
  type ResponseHandler,
  type ResponseHead,
  type UpstreamExchange,
} from "../../../upstream/exchange.ts";
import type { ExchangeSource, PoolWaiter } from "../../../upstream/http-pool.ts";

/** What the router wants to know of its attempt. After `end` nothing is called. */
export interface AttemptOwner {
  onAttemptReady(exchange: UpstreamExchange): void;
  onAttemptInformational(head: ResponseHead): void;
  onAttemptHead(head: ResponseHead, end: boolean, isUpgraded: boolean): void;
  onAttemptData(data: Buffer): void;
  onAttemptEnd(trailers: Headers | null): void;
  /** `requestStarted`: the endpoint may have seen a part of the request. */
  onAttemptReset(reason: number, failure: SocketFailure | null, requestStarted: boolean): void;
  /** `isIdle`: no byte came for that long. */
  onAttemptTimeout(limitMs: number, isIdle: boolean): void;
  /** Request and response took longer than the cluster allows. */
  onAttemptTooLong(limitMs: number): void;
  onAttemptDrain(): void;
}

/** An endpoint is judged by what gRPC says, where it says it in the head. */
function judgedStatus({ headers, status }: ResponseHead): number {
  const grpcStatus = headers.getId(GRPC_STATUS);
  return grpcStatus === undefined ? status : httpStatusOfGrpc(grpcStatus);
}

export class UpstreamAttempt implements PoolWaiter, ResponseHandler {
  readonly endpoint: UpstreamEndpoint;
  exchange: UpstreamExchange | null = null;
  responseBegan = false;
  readonly #owner: AttemptOwner;
  readonly #loop: EventLoop;
  #source: ExchangeSource | null = null;
  #cancelTimer: (() => void) | null = null;
  #cancelIdleTimer: (() => void) | null = null;
  #cancelLifeTimer: (() => void) | null = null;
  #lastActivity = 0;
  #isResponsePaused = false;

  constructor(owner: AttemptOwner, endpoint: UpstreamEndpoint, loop: EventLoop) {
    this.#owner = owner;
    this.#loop = loop;
    this.endpoint = endpoint;
    endpoint.activeRequests++;
    endpoint.requestsTotal++;
  }

  /** Starts the per-try timeouts; 0 is none. The first ends with the response's head, the other with the try. */
  limit(timeoutMs: number, idleMs: number): void {
    const loop = this.#loop;
    if (timeoutMs > 0) this.#cancelTimer = loop.after(timeoutMs, () => this.#owner.onAttemptTimeout(timeoutMs, false));
    if (idleMs === 0) return;
    this.#lastActivity = loop.now;
    const check = (): void => {
      const leftMs = this.#lastActivity + idleMs - loop.now;
      if (leftMs <= 0) this.#owner.onAttemptTimeout(idleMs, true);
      else this.#cancelIdleTimer = loop.after(leftMs, check);
    };
    this.#cancelIdleTimer = loop.after(idleMs, check);
  }

  /** Starts the timeout of the whole exchange. */
  limitLife(limitMs: number): void {
    this.#cancelLifeTimer = this.#loop.after(limitMs, () => this.#owner.onAttemptTooLong(limitMs));
  }

  connect(source: ExchangeSource): void {
    this.#source = source;
    source.acquire(this);
  }

  onPoolReady(exchange: UpstreamExchange): void {
    this.#source = null;
    this.exchange = exchange;
    this.endpoint.outlier?.onConnected();
    exchange.begin(this);
    this.#owner.onAttemptReady(exchange);
  }

  onPoolFailed(reason: number, failure: SocketFailure): void {
    this.#source = null;
    this.#judgeReset(reason, failure);
    this.#owner.onAttemptReset(reason, failure, false);
  }

  onUpstreamInformational(head: ResponseHead): void {
    this.#owner.onAttemptInformational(head);
  }

  onUpstreamHead(head: ResponseHead, end: boolean, isUpgraded: boolean): void {
    this.endpoint.outlier?.onStatus(judgedStatus(head));
    if (this.endpoint.checks !== null && head.headers.get("x-envoy-immediate-health-check-fail") !== undefined) {
      this.endpoint.checks.failAtOnce();
    }
    this.#lastActivity = this.#loop.now;
    this.#owner.onAttemptHead(head, end, isUpgraded);
  }

  /** The response goes to the client: no other attempt follows. */
  accept(): void {
    this.responseBegan = true;
    this.#stopTimer();
  }

  onUpstreamData(data: Buffer): void {
    this.#lastActivity = this.#loop.now;
    this.#owner.onAttemptData(data);
  }

  onUpstreamEnd(trailers: Headers | null): void {
    this.#owner.onAttemptEnd(trailers);
  }

  onUpstreamReset(reason: number, failure: SocketFailure | null): void {
    this.#judgeReset(reason, failure);
    this.#owner.onAttemptReset(reason, failure, true);
  }

  /** A circuit breaker and a keep-alive race say nothing about the endpoint. */
  #judgeReset(reason: number, failure: SocketFailure | null): void {
    if (reason === RESET_OVERFLOW || reason === RESET_CLUSTER_GONE || reason === RESET_STALE) return;
    this.endpoint.outlier?.onLocalFailure(failure?.kind === FailureKind.Timeout);
  }

  /** The endpoint did not answer in time. */
  timedOut(): void {
    this.endpoint.requestTimeouts++;
    if (!this.responseBegan) this.endpoint.outlier?.onLocalFailure(true);
  }

  onUpstreamDrain(): void {
    this.#owner.onAttemptDrain();
  }

  pauseResponse(): void {
    if (this.#isResponsePaused || this.exchange === null) return;
    this.#isResponsePaused = true;
    this.exchange.pauseReading();
  }

  resumeResponse(): void {
    if (!this.#isResponsePaused) return;
    this.#isResponsePaused = false;
    this.exchange?.resumeReading();
  }

  #stopTimer(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = null;
  }

  /** Gives back what the attempt holds. */
  end(): void {
    this.#stopTimer();
    this.#cancelIdleTimer?.();
    this.#cancelIdleTimer = null;
    this.#cancelLifeTimer?.();
    this.#cancelLifeTimer = null;
    const source = this.#source;
    this.#source = null;
    source?.cancel(this);
    const exchange = this.exchange;
    this.exchange = null;
    exchange?.release();
    this.endpoint.activeRequests--;
  }
}
