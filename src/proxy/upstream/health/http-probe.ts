// Asks by an HTTP request: the status, and where that is configured the body and the name of the service, say whether the
// endpoint is well.
import { Headers } from "#wire/http/headers.ts";
import type { HttpHealthCheck } from "../../config/health-check.ts";
import type { SocketFailure } from "../../transport/socket-error.ts";
import {
  BODY_NONE,
  type ResponseHandler,
  type ResponseHead,
  type UpstreamExchange,
  type UpstreamRequest,
} from "../exchange.ts";
import type { HttpPool, PoolWaiter } from "../http-pool.ts";
import { containsInOrder, failure, type Probe, type ProbeAnswer, passed } from "./probe.ts";

/** A body of which everything is looked at is kept up to here. */
const mostBodyBytes = 64 * 1024;

export interface HttpProbeOptions {
  readonly check: HttpHealthCheck;
  readonly authority: string;
  readonly isTls: boolean;
  /** The pool to use, made anew when the transport changed. */
  readonly pool: () => HttpPool;
  /** Ends the connections of the pool. */
  readonly closePool: () => void;
}

export class HttpProbe implements Probe, PoolWaiter, ResponseHandler, UpstreamRequest {
  readonly method: string;
  readonly scheme: string;
  readonly authority: string;
  readonly path: string;
  readonly headers: Headers = new Headers();
  readonly upgrade = "";
  readonly requestFraming: number = BODY_NONE;
  readonly #options: HttpProbeOptions;
  #answered: ((answer: ProbeAnswer) => void) | null = null;
  #pool: HttpPool | null = null;
  #exchange: UpstreamExchange | null = null;
  #verdict: ProbeAnswer = passed;
  #body: Buffer[] = [];
  #bodyBytes = 0;

  constructor(options: HttpProbeOptions) {
    this.#options = options;
    const { check, authority, isTls } = options;
    this.method = check.method;
    this.scheme = isTls ? "https" : "http";
    this.authority = authority;
    this.path = check.path;
  }

  ask(answered: (answer: ProbeAnswer) => void): void {
    this.#answered = answered;
    this.#body = [];
    this.#bodyBytes = 0;
    this.#fillHeaders();
    const pool = this.#options.pool();
    this.#pool = pool;
    pool.acquire(this);
  }

  #fillHeaders(): void {
    const { headers } = this;
    const { check } = this.#options;
    headers.clear();
    headers.add("host", this.authority);
    headers.add("user-agent", "Envoy/HC");
    for (const [name, value] of check.headers) headers.add(name, value);
    for (const name of check.removedHeaders) headers.remove(name);
  }

  onPoolReady(exchange: UpstreamExchange): void {
    this.#pool = null;
    this.#exchange = exchange;
    exchange.begin(this);
    exchange.start(this, true);
  }

  onPoolFailed(_reason: number, failed: SocketFailure): void {
    this.#pool = null;
    this.#answer(failure("unreachable", failed.words));
  }

  onUpstreamInformational(): void {}

  onUpstreamHead(head: ResponseHead, end: boolean): void {
    this.#verdict = judge(head, this.#options.check);
    if (end) this.#complete();
  }

  onUpstreamData(data: Buffer): void {
    const { receive, responseBufferBytes } = this.#options.check;
    if (receive.length === 0) return;
    const room = (responseBufferBytes || mostBodyBytes) - this.#bodyBytes;
    if (room <= 0) return;
    this.#body.push(Buffer.from(data.subarray(0, room)));
    this.#bodyBytes += Math.min(room, data.length);
  }

  onUpstreamEnd(): void {
    this.#complete();
  }

  #complete(): void {
    const { receive } = this.#options.check;
    const isExpected = receive.length === 0 || containsInOrder(Buffer.concat(this.#body), receive);
    const verdict = this.#verdict;
    this.#release();
    if (verdict.outcome === "passed" && !isExpected) this.#answer(failure("refused", "the body is not as expected"));
    else this.#answer(verdict);
  }

  onUpstreamReset(_reason: number, failed: SocketFailure | null): void {
    this.#exchange = null;
    this.#answer(failure("unreachable", failed?.words ?? "the connection was reset"));
  }

  onUpstreamDrain(): void {}

  #answer(answer: ProbeAnswer): void {
    const answered = this.#answered;
    this.#answered = null;
    answered?.(answer);
  }

  #release(): void {
    this.#pool?.cancel(this);
    this.#pool = null;
    const exchange = this.#exchange;
    this.#exchange = null;
    exchange?.release();
  }

  abort(): void {
    this.#answered = null;
    this.#release();
  }

  stop(): void {
    this.abort();
    this.#options.closePool();
  }
}

function judge({ status, headers }: ResponseHead, check: HttpHealthCheck): ProbeAnswer {
  const isExcluded = headers.get("x-envoy-immediate-health-check-fail") !== undefined;
  if (!check.expects(status)) {
    return { ...failure(check.retries(status) ? "failed" : "refused", `it answered ${status}`), isExcluded };
  }
  if (isExcluded) return { ...failure("refused", "it asked to be taken out of rotation"), isExcluded };
  const service = headers.get("x-envoy-upstream-healthchecked-cluster") ?? "";
  if (check.serviceName !== null && !check.serviceName.matches(service)) {
    const words = service === "" ? "it does not say which service it is" : `it is the service "${service}"`;
    return { ...failure("refused", words), isOtherService: true };
  }
  if (headers.get("x-envoy-degraded") !== undefined) return failure("degraded", "it says that it is degraded");
  return passed;
}
