// A unary gRPC call that the proxy makes by itself, through one of its clusters: one message out, one message back.
// Whoever calls hears of the outcome exactly once, and never before `callGrpc` has returned.
// Specification: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
import { GrpcStatus } from "#wire/grpc/status.ts";
import { Headers } from "#wire/http/headers.ts";
import type { EventLoop } from "../transport/event-loop.ts";
import { CallOutcome } from "./call-outcome.ts";
import type { ClusterManager } from "./cluster-manager.ts";
import { ClusterRequest, type ClusterRequestHandler } from "./cluster-request.ts";
import { BODY_CHUNKED, type ResponseHead } from "./exchange.ts";

export interface GrpcCall {
  readonly cluster: string;
  /** Empty: the cluster's name. */
  readonly authority: string;
  /** `/package.Service/Method`. */
  readonly path: string;
  /** Names in lower case. */
  readonly metadata: readonly { readonly name: string; readonly value: string }[];
  readonly message: Uint8Array;
  /** Until the response is complete; 0 waits on. */
  readonly timeoutMs: number;
}

/** Why there is no message. */
export interface GrpcFailure {
  /** Of the server, or what stands for a failure on the way to it. */
  readonly status: number;
  readonly words: string;
}

export interface GrpcCaller {
  onGrpcDone(message: Buffer): void;
  onGrpcFailed(failure: GrpcFailure): void;
}

export interface GrpcCallEnvironment {
  readonly loop: EventLoop;
  readonly clusters: ClusterManager;
}

/** Begins a call. The function that comes back ends it without a word to the caller. */
export function callGrpc(environment: GrpcCallEnvironment, call: GrpcCall, caller: GrpcCaller): () => void {
  const pending = new PendingCall(environment, call, caller);
  pending.start();
  return () => pending.cancel();
}

const prefixBytes = 5;
/** Answers are decisions, not data. */
const maxMessageBytes = 4 * 1024 * 1024;

class PendingCall implements ClusterRequestHandler {
  readonly #clusters: ClusterManager;
  readonly #outcome: CallOutcome;
  readonly #call: GrpcCall;
  readonly #caller: GrpcCaller;
  readonly #request: ClusterRequest;
  readonly #chunks: Buffer[] = [];
  #bytes = 0;
  /** Why the response is no gRPC response. */
  #foreign: GrpcFailure | null = null;
  /** Of a response without a body. */
  #headStatus: GrpcFailure | null = null;

  constructor(environment: GrpcCallEnvironment, call: GrpcCall, caller: GrpcCaller) {
    this.#clusters = environment.clusters;
    this.#outcome = new CallOutcome(environment.loop);
    this.#call = call;
    this.#caller = caller;
    const authority = call.authority || call.cluster;
    this.#request = new ClusterRequest(
      {
        request: {
          method: "POST",
          scheme: "http",
          authority,
          path: call.path,
          headers: requestHeaders(call, authority),
          upgrade: "",
          requestFraming: BODY_CHUNKED,
        },
        hasBody: true,
        timeoutMs: call.timeoutMs,
      },
      this,
    );
  }

  start(): void {
    const { cluster: name, message } = this.#call;
    const cluster = this.#clusters.get(name);
    if (cluster === undefined) {
      this.#fail(GrpcStatus.Unavailable, `the cluster "${name}" does not exist`);
    } else {
      this.#request.start(cluster);
      const prefix = Buffer.alloc(prefixBytes);
      prefix.writeUInt32BE(message.length, 1);
      this.#request.write(Buffer.concat([prefix, message]));
      this.#request.end(null);
    }
    this.#outcome.handOut();
  }

  cancel(): void {
    this.#outcome.cancel();
    this.#request.cancel();
  }

  onRequestHead({ status, headers }: ResponseHead): void {
    if (status !== 200) {
      this.#foreign = {
        status: status === 429 || status > 501 ? GrpcStatus.Unavailable : GrpcStatus.Unknown,
        words: `HTTP status ${status}`,
      };
    } else if (!(headers.get("content-type") ?? "").startsWith("application/grpc")) {
      this.#foreign = { status: GrpcStatus.Unknown, words: "the response is not gRPC" };
    } else {
      this.#headStatus = statusIn(headers);
    }
  }

  onRequestData(data: Buffer): void {
    if (this.#foreign !== null) return;
    this.#bytes += data.length;
    if (this.#bytes > maxMessageBytes + prefixBytes) {
      this.#request.cancel();
      this.#fail(GrpcStatus.ResourceExhausted, `the answer is longer than ${maxMessageBytes} bytes`);
      return;
    }
    // The bytes belong to the connection, which reads into them again.
    this.#chunks.push(Buffer.from(data));
  }

  onRequestEnd(trailers: Headers | null): void {
    const status = (trailers === null ? null : statusIn(trailers)) ?? this.#headStatus;
    if (this.#foreign !== null) this.#fail(this.#foreign.status, this.#foreign.words);
    else if (status === null) this.#fail(GrpcStatus.Unknown, "the response has no grpc-status");
    else if (status.status !== 0) this.#fail(status.status, status.words);
    else this.#answer(Buffer.concat(this.#chunks));
  }

  #answer(body: Buffer): void {
    if (body.length < prefixBytes || body.readUInt32BE(1) !== body.length - prefixBytes) {
      this.#fail(GrpcStatus.Internal, "the answer is not one message");
    } else if (body[0] !== 0) {
      this.#fail(GrpcStatus.Internal, "the answer is compressed");
    } else {
      this.#outcome.tell(() => this.#caller.onGrpcDone(body.subarray(prefixBytes)));
    }
  }

  onRequestFailed(words: string, isTimeout: boolean): void {
    this.#fail(isTimeout ? GrpcStatus.DeadlineExceeded : GrpcStatus.Unavailable, words);
  }

  #fail(status: number, words: string): void {
    this.#outcome.tell(() => this.#caller.onGrpcFailed({ status, words }));
  }
}

function requestHeaders({ metadata, timeoutMs }: GrpcCall, authority: string): Headers {
  const headers = new Headers();
  headers.add("host", authority);
  headers.add("te", "trailers");
  headers.add("content-type", "application/grpc");
  if (timeoutMs > 0) headers.add("grpc-timeout", `${Math.ceil(timeoutMs)}m`);
  for (const { name, value } of metadata) headers.add(name, value);
  return headers;
}

function statusIn(headers: Headers): GrpcFailure | null {
  const status = headers.get("grpc-status");
  if (status === undefined || !/^\d{1,3}$/.test(status)) return null;
  const message = decodeMessage(headers.get("grpc-message") ?? "");
  return { status: Number(status), words: message === "" ? `gRPC status ${status}` : message };
}

/** Percent-decoding; what is not properly encoded stays as it is. */
function decodeMessage(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
