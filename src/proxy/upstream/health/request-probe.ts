// Asks by a request over HTTP, of any version; what the response says is judged by a pure function.
import type { Headers } from "#wire/http/headers.ts";
import type { SocketFailure } from "../../transport/socket-error.ts";
import {
  BODY_LENGTH,
  BODY_NONE,
  type ResponseHandler,
  type ResponseHead,
  type UpstreamExchange,
  type UpstreamRequest,
} from "../exchange.ts";
import type { HttpPool, PoolWaiter } from "../http-pool.ts";
import { failure, type Probe, type ProbeAnswer } from "./probe.ts";

/** What is asked, and what the answer means. */
export interface Question {
  readonly method: string;
  readonly authority: string;
  readonly path: string;
  /** Fills in the request's headers. */
  readonly fill: (headers: Headers) => void;
  readonly body: Buffer | null;
  /** How much of the response's body is kept. */
  readonly keptBytes: number;
  readonly judge: (response: ProbeResponse) => ProbeAnswer;
}

/** Valid while it is judged. */
export interface ProbeResponse {
  readonly head: ResponseHead;
  readonly body: Buffer;
  readonly trailers: Headers | null;
}

export interface RequestProbeOptions {
  readonly question: Question;
  readonly headers: Headers;
  readonly isTls: boolean;
  /** The pool to use. */
  readonly pool: () => HttpPool;
  /** Ends the connections of the pool. */
  readonly closePool: () => void;
}

export class RequestProbe implements Probe, PoolWaiter, ResponseHandler, UpstreamRequest {
  readonly method: string;
  readonly scheme: string;
  readonly authority: string;
  readonly path: string;
  readonly headers: Headers;
  readonly upgrade = "";
  readonly requestFraming: number;
  readonly #options: RequestProbeOptions;
  #answered: ((answer: ProbeAnswer) => void) | null = null;
  #pool: HttpPool | null = null;
  #exchange: UpstreamExchange | null = null;
  #head: ResponseHead | null = null;
  #body: Buffer[] = [];
  #bodyBytes = 0;

  constructor(options: RequestProbeOptions) {
    this.#options = options;
    const { question, isTls } = options;
    this.method = question.method;
    this.scheme = isTls ? "https" : "http";
    this.authority = question.authority;
    this.path = question.path;
    this.headers = options.headers;
    this.requestFraming = question.body === null ? BODY_NONE : BODY_LENGTH;
  }

  ask(answered: (answer: ProbeAnswer) => void): void {
    const { question, pool } = this.#options;
    this.#answered = answered;
    this.#head = null;
    this.#body = [];
    this.#bodyBytes = 0;
    this.headers.clear();
    question.fill(this.headers);
    this.#pool = pool();
    this.#pool.acquire(this);
  }

  onPoolReady(exchange: UpstreamExchange): void {
    const { body } = this.#options.question;
    this.#pool = null;
    this.#exchange = exchange;
    exchange.begin(this);
    exchange.start(this, body === null);
    if (body === null) return;
    exchange.writeData(body);
    exchange.endRequest(null);
  }

  onPoolFailed(_reason: number, failed: SocketFailure): void {
    this.#pool = null;
    this.#answer(failure("unreachable", failed.words));
  }

  onUpstreamInformational(): void {}

  onUpstreamHead(head: ResponseHead, end: boolean): void {
    this.#head = head;
    if (end) this.onUpstreamEnd(null);
  }

  onUpstreamData(data: Buffer): void {
    const room = this.#options.question.keptBytes - this.#bodyBytes;
    if (room <= 0) return;
    const kept = Buffer.from(data.subarray(0, room));
    this.#body.push(kept);
    this.#bodyBytes += kept.length;
  }

  onUpstreamEnd(trailers: Headers | null): void {
    const head = this.#head;
    if (head === null) return;
    const answer = this.#options.question.judge({ head, body: Buffer.concat(this.#body), trailers });
    this.#release();
    this.#answer(answer);
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
    this.#head = null;
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
