// A whole HTTP exchange that the proxy makes by itself, through one of its clusters: one request, and its response with a
// bounded body. It is for asking somebody (keys, authorization); whoever asks hears of the outcome exactly once, and
// never before `callHttp` has returned.
import { Headers } from "#wire/http/headers.ts";
import type { EventLoop } from "../transport/event-loop.ts";
import { CallOutcome } from "./call-outcome.ts";
import type { ClusterManager } from "./cluster-manager.ts";
import { ClusterRequest, type ClusterRequestHandler } from "./cluster-request.ts";
import { BODY_LENGTH, BODY_NONE, type ResponseHead } from "./exchange.ts";

export interface HttpCall {
  readonly cluster: string;
  readonly method: string;
  readonly scheme: string;
  readonly authority: string;
  /** With query. */
  readonly path: string;
  /** Without Host, framing and what concerns a connection: those are set here. */
  readonly headers: Headers;
  readonly body: Buffer | null;
  /** Until the response is complete. */
  readonly timeoutMs: number;
  readonly maxResponseBytes: number;
}

export interface HttpCallResponse {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Buffer;
}

/** Why there is no response, in words. */
export interface HttpCallFailure {
  readonly words: string;
  readonly isTimeout: boolean;
}

export interface HttpCaller {
  onCallDone(response: HttpCallResponse): void;
  onCallFailed(failure: HttpCallFailure): void;
}

export interface HttpCallEnvironment {
  readonly loop: EventLoop;
  readonly clusters: ClusterManager;
}

/** Begins a call. The function that comes back ends it without a word to the caller. */
export function callHttp(environment: HttpCallEnvironment, call: HttpCall, caller: HttpCaller): () => void {
  const pending = new PendingCall(environment, call, caller);
  pending.start();
  return () => pending.cancel();
}

class PendingCall implements ClusterRequestHandler {
  readonly #clusters: ClusterManager;
  readonly #outcome: CallOutcome;
  readonly #call: HttpCall;
  readonly #caller: HttpCaller;
  readonly #request: ClusterRequest;
  #status = 0;
  #headers: Headers = new Headers();
  readonly #body: Buffer[] = [];
  #bytes = 0;

  constructor(environment: HttpCallEnvironment, call: HttpCall, caller: HttpCaller) {
    this.#clusters = environment.clusters;
    this.#outcome = new CallOutcome(environment.loop);
    this.#call = call;
    this.#caller = caller;
    const hasBody = call.body !== null && call.body.length > 0;
    this.#request = new ClusterRequest(
      {
        request: {
          method: call.method,
          scheme: call.scheme,
          authority: call.authority,
          path: call.path,
          headers: requestHeaders(call),
          upgrade: "",
          requestFraming: hasBody ? BODY_LENGTH : BODY_NONE,
        },
        hasBody,
        timeoutMs: call.timeoutMs,
      },
      this,
    );
  }

  start(): void {
    const { cluster: name, body } = this.#call;
    const cluster = this.#clusters.get(name);
    if (cluster === undefined) this.#fail(`the cluster "${name}" does not exist`, false);
    else {
      this.#request.start(cluster);
      if (body !== null && body.length > 0) {
        this.#request.write(body);
        this.#request.end(null);
      }
    }
    this.#outcome.handOut();
  }

  cancel(): void {
    this.#outcome.cancel();
    this.#request.cancel();
  }

  onRequestHead({ status, headers }: ResponseHead): void {
    this.#status = status;
    this.#headers = new Headers();
    this.#headers.copyFrom(headers);
  }

  onRequestData(data: Buffer): void {
    this.#bytes += data.length;
    if (this.#bytes <= this.#call.maxResponseBytes) {
      // The bytes belong to the connection, which reads into them again.
      this.#body.push(Buffer.from(data));
      return;
    }
    this.#request.cancel();
    this.#fail(`the response is longer than ${this.#call.maxResponseBytes} bytes`, false);
  }

  onRequestEnd(): void {
    const response = { status: this.#status, headers: this.#headers, body: Buffer.concat(this.#body) };
    this.#outcome.tell(() => this.#caller.onCallDone(response));
  }

  onRequestFailed(words: string, isTimeout: boolean): void {
    this.#fail(words, isTimeout);
  }

  #fail(words: string, isTimeout: boolean): void {
    this.#outcome.tell(() => this.#caller.onCallFailed({ words, isTimeout }));
  }
}

function requestHeaders({ authority, headers, body }: HttpCall): Headers {
  const all = new Headers();
  all.add("host", authority);
  headers.forEach((name, value) => {
    if (!ours.has(name) && !name.startsWith(":")) all.add(name, value);
  });
  if (body !== null) all.add("content-length", String(body.length));
  return all;
}

const ours: ReadonlySet<string> = new Set([
  "connection",
  "content-length",
  "host",
  "keep-alive",
  "proxy-connection",
  "te",
  "transfer-encoding",
  "upgrade",
]);
