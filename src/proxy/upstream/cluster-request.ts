// A request that the proxy makes by itself, through one of its clusters: it chooses an endpoint, waits for a connection,
// and reports what came back. There are no retries, and the body has to be small enough to be held until there is a
// connection. Every request ends exactly once: complete, failed or cancelled.
import type { Headers } from "#wire/http/headers.ts";
import { protocolFor } from "../decide/upstream-protocol.ts";
import { FailureKind, type SocketFailure } from "../transport/socket-error.ts";
import { anyHost } from "./balance/choice.ts";
import type { CircuitBreaker } from "./circuit-breaker.ts";
import type { Cluster } from "./cluster.ts";
import type { UpstreamEndpoint } from "./endpoint.ts";
import type { ResponseHandler, ResponseHead, UpstreamExchange, UpstreamRequest } from "./exchange.ts";
import type { HttpPool, PoolWaiter } from "./http-pool.ts";

export interface ClusterRequestOptions {
  readonly request: UpstreamRequest;
  /** Without a body: `request.requestFraming` is BODY_NONE, and nothing is written or ended. */
  readonly hasBody: boolean;
  /** Until the response is complete; 0 waits on. */
  readonly timeoutMs: number;
}

/** Who hears of the response. After `onRequestEnd` or `onRequestFailed` nothing is called. */
export interface ClusterRequestHandler {
  /** The head is valid during the call. */
  onRequestHead(head: ResponseHead): void;
  onRequestData(data: Buffer): void;
  onRequestEnd(trailers: Headers | null): void;
  /** `words` say why there is no complete response; `isTimeout`: it did not come in time. */
  onRequestFailed(words: string, isTimeout: boolean): void;
}

const plainRequest = { isHttp2Request: false, isTunnelRequest: false };

export class ClusterRequest implements PoolWaiter, ResponseHandler {
  readonly #options: ClusterRequestOptions;
  readonly #handler: ClusterRequestHandler;
  #endpoint: UpstreamEndpoint | null = null;
  #breaker: CircuitBreaker | null = null;
  #pool: HttpPool | null = null;
  #exchange: UpstreamExchange | null = null;
  #held: Buffer[] = [];
  #isEnded = false;
  #trailers: Headers | null = null;
  #isOver = false;
  #cancelTimer: (() => void) | null = null;

  constructor(options: ClusterRequestOptions, handler: ClusterRequestHandler) {
    this.#options = options;
    this.#handler = handler;
  }

  /** Begins. May fail before it returns. */
  start(cluster: Cluster): void {
    const { timeoutMs } = this.#options;
    const { name } = cluster.config;
    const breaker = cluster.breakers.default;
    const refusal = breaker.takeRequest();
    if (refusal !== null) {
      this.#fail(`cluster ${name}: ${refusal.words}`);
      return;
    }
    this.#breaker = breaker;
    const endpoint = cluster.choose(anyHost);
    if (endpoint === null) {
      this.#fail(`cluster ${name} has no endpoint that can be used`);
      return;
    }
    endpoint.activeRequests++;
    endpoint.requestsTotal++;
    this.#endpoint = endpoint;
    if (timeoutMs > 0) {
      this.#cancelTimer = cluster.loop.after(timeoutMs, () => this.#timedOut(timeoutMs));
    }
    this.#pool = cluster.pool(endpoint, protocolFor(cluster.config, plainRequest, false));
    this.#pool.acquire(this);
  }

  #timedOut(timeoutMs: number): void {
    if (this.#isOver) return;
    if (this.#exchange !== null) this.#endpoint?.outlier?.onLocalFailure(true);
    this.#fail(`no answer within ${timeoutMs} ms`, true);
  }

  write(data: Buffer): void {
    if (this.#isOver) return;
    if (this.#exchange === null) this.#held.push(data);
    else this.#exchange.writeData(data);
  }

  end(trailers: Headers | null): void {
    if (this.#isOver || this.#isEnded) return;
    this.#isEnded = true;
    this.#trailers = trailers;
    this.#exchange?.endRequest(trailers);
  }

  /** Ends without a word to the handler. */
  cancel(): void {
    this.#finish();
  }

  onPoolReady(exchange: UpstreamExchange): void {
    const { request, hasBody } = this.#options;
    this.#pool = null;
    this.#exchange = exchange;
    this.#endpoint?.outlier?.onConnected();
    exchange.begin(this);
    exchange.start(request, !hasBody);
    if (!hasBody) return;
    for (const data of this.#held) exchange.writeData(data);
    this.#held = [];
    if (this.#isEnded) exchange.endRequest(this.#trailers);
  }

  onPoolFailed(_reason: number, failure: SocketFailure): void {
    this.#pool = null;
    this.#endpoint?.outlier?.onLocalFailure(failure.kind === FailureKind.Timeout);
    this.#fail(failure.words);
  }

  onUpstreamInformational(): void {}

  onUpstreamHead(head: ResponseHead): void {
    this.#endpoint?.outlier?.onStatus(head.status);
    if (head.status >= 500 && this.#endpoint !== null) this.#endpoint.requestErrors++;
    this.#handler.onRequestHead(head);
  }

  onUpstreamData(data: Buffer): void {
    if (!this.#isOver) this.#handler.onRequestData(data);
  }

  onUpstreamEnd(trailers: Headers | null): void {
    if (this.#isOver) return;
    this.#finish();
    this.#handler.onRequestEnd(trailers);
  }

  onUpstreamReset(_reason: number, failure: SocketFailure | null): void {
    this.#exchange = null;
    this.#endpoint?.outlier?.onLocalFailure(failure?.kind === FailureKind.Timeout);
    this.#fail(failure?.words ?? "the connection was reset");
  }

  onUpstreamDrain(): void {}

  #fail(words: string, isTimeout = false): void {
    if (this.#isOver) return;
    if (this.#endpoint !== null) this.#endpoint.requestErrors++;
    this.#finish();
    this.#handler.onRequestFailed(words, isTimeout);
  }

  #finish(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#cancelTimer?.();
    this.#cancelTimer = null;
    this.#pool?.cancel(this);
    this.#pool = null;
    this.#held = [];
    const exchange = this.#exchange;
    this.#exchange = null;
    exchange?.release();
    this.#breaker?.giveRequest();
    this.#breaker = null;
    if (this.#endpoint !== null) this.#endpoint.activeRequests--;
  }
}
