// A gRPC client over the proxy's clusters: length-prefixed messages in a request and its response, the status in the
// trailers, or in the head of a response without a body.
// Specification: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
import { GrpcStatus } from "#wire/grpc/status.ts";
import { Headers } from "#wire/http/headers.ts";
import type { EventLoop } from "../transport/event-loop.ts";
import type { ClusterManager } from "../upstream/cluster-manager.ts";
import { ClusterRequest, type ClusterRequestHandler } from "../upstream/cluster-request.ts";
import { BODY_CHUNKED, type ResponseHead } from "../upstream/exchange.ts";
import type { GrpcCall, GrpcCallHandler, GrpcCallRequest, GrpcCalls } from "./grpc-calls.ts";
import type { Pair } from "./pairs.ts";

export interface ClusterGrpcOptions {
  readonly clusters: ClusterManager;
  readonly loop: EventLoop;
  /** A longer message ends the call with RESOURCE_EXHAUSTED. */
  readonly maxMessageBytes: number;
}

export function clusterGrpc(options: ClusterGrpcOptions): GrpcCalls {
  return {
    hasCluster: (name) => options.clusters.get(name) !== undefined,
    start: (request, handler) => new ClusterGrpcCall(options, request, handler),
  };
}

const prefixBytes = 5;

class ClusterGrpcCall implements GrpcCall, ClusterRequestHandler {
  readonly #options: ClusterGrpcOptions;
  readonly #handler: GrpcCallHandler;
  readonly #request: ClusterRequest;
  /** What was received and is not a whole message yet. */
  #rest: Buffer = Buffer.alloc(0);
  /** Why the response is no gRPC response; it is read to its end all the same. */
  #failure: { readonly status: number; readonly message: string } | null = null;
  #headStatus: Headers | null = null;
  #isOver = false;

  constructor(options: ClusterGrpcOptions, call: GrpcCallRequest, handler: GrpcCallHandler) {
    this.#options = options;
    this.#handler = handler;
    this.#request = new ClusterRequest(
      {
        request: {
          method: "POST",
          scheme: "http",
          authority: call.cluster,
          path: `/${call.service}/${call.method}`,
          headers: requestHeaders(call),
          upgrade: "",
          requestFraming: BODY_CHUNKED,
        },
        hasBody: true,
        timeoutMs: call.timeoutMs,
      },
      this,
    );
    // Whoever begins a call hears of it later, also where it fails at once.
    options.loop.after(0, () => this.#start(call.cluster));
  }

  #start(name: string): void {
    if (this.#isOver) return;
    const cluster = this.#options.clusters.get(name);
    if (cluster === undefined) this.#close(GrpcStatus.Unavailable, `the cluster "${name}" does not exist`);
    else this.#request.start(cluster);
  }

  send(message: Buffer, isLast: boolean): void {
    const framed = Buffer.allocUnsafe(prefixBytes + message.length);
    framed[0] = 0;
    framed.writeUInt32BE(message.length, 1);
    message.copy(framed, prefixBytes);
    this.#request.write(framed);
    if (isLast) this.endRequest();
  }

  endRequest(): void {
    this.#request.end(null);
  }

  cancel(): void {
    this.#isOver = true;
    this.#request.cancel();
  }

  onRequestHead({ status, headers }: ResponseHead): void {
    if (status !== 200) {
      this.#failure = { status: statusOfHttp(status), message: `HTTP status ${status}` };
      return;
    }
    if (!(headers.get("content-type") ?? "").startsWith("application/grpc")) {
      this.#failure = { status: GrpcStatus.Unknown, message: "the response is not gRPC" };
      return;
    }
    if (headers.has("grpc-status")) {
      // Trailers only: the head is the trailer.
      this.#headStatus = new Headers();
      this.#headStatus.copyFrom(headers);
      return;
    }
    this.#handler.onInitialMetadata(pairsOf(headers));
  }

  onRequestData(data: Buffer): void {
    if (this.#failure !== null || this.#isOver) return;
    this.#rest = Buffer.concat([this.#rest, data]);
    while (this.#rest.length >= prefixBytes && !this.#isOver) {
      const length = this.#rest.readUInt32BE(1);
      if (this.#rest[0] !== 0 || length > this.#options.maxMessageBytes) {
        const status = this.#rest[0] === 0 ? GrpcStatus.ResourceExhausted : GrpcStatus.Internal;
        const message = this.#rest[0] === 0 ? `a message of ${length} bytes is too long` : "a message is compressed";
        this.#request.cancel();
        this.#close(status, message);
        return;
      }
      const end = prefixBytes + length;
      if (this.#rest.length < end) return;
      const message = this.#rest.subarray(prefixBytes, end);
      this.#rest = this.#rest.subarray(end);
      this.#handler.onMessage(message);
    }
  }

  onRequestEnd(trailers: Headers | null): void {
    if (this.#failure !== null) {
      this.#close(this.#failure.status, this.#failure.message);
      return;
    }
    const last = trailers ?? this.#headStatus;
    const status = last?.get("grpc-status");
    if (last === null || status === undefined || !/^\d{1,9}$/.test(status)) {
      this.#close(GrpcStatus.Unknown, "the response has no grpc-status");
      return;
    }
    if (this.#rest.length > 0) {
      this.#close(GrpcStatus.Internal, "the response ends in the middle of a message");
      return;
    }
    if (!this.#isOver) this.#handler.onTrailingMetadata(pairsOf(last));
    this.#close(Number(status), decodeMessage(last.get("grpc-message") ?? ""));
  }

  onRequestFailed(words: string, isTimeout: boolean): void {
    this.#close(isTimeout ? GrpcStatus.DeadlineExceeded : GrpcStatus.Unavailable, words);
  }

  #close(status: number, message: string): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#handler.onClose(status, message);
  }
}

function requestHeaders({ cluster, metadata, timeoutMs }: GrpcCallRequest): Headers {
  const headers = new Headers();
  headers.add("host", cluster);
  headers.add("te", "trailers");
  headers.add("content-type", "application/grpc");
  if (timeoutMs > 0) headers.add("grpc-timeout", `${timeoutMs}m`);
  for (const [name, value] of metadata) {
    if (!name.startsWith(":") && !reserved.has(name)) headers.add(name, value);
  }
  return headers;
}

/** The protocol's own headers, and those of a connection. */
const reserved: ReadonlySet<string> = new Set([
  "host",
  "te",
  "content-type",
  "content-length",
  "grpc-timeout",
  "transfer-encoding",
  "connection",
  "keep-alive",
  "upgrade",
]);

function pairsOf(headers: Headers): Pair[] {
  const pairs: Pair[] = [];
  headers.forEach((name, value) => void pairs.push([name, value]));
  return pairs;
}

/** https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md */
function statusOfHttp(status: number): number {
  switch (status) {
    case 400:
      return GrpcStatus.Internal;
    case 401:
      return GrpcStatus.Unauthenticated;
    case 403:
      return GrpcStatus.PermissionDenied;
    case 404:
      return GrpcStatus.Unimplemented;
    case 429:
    case 502:
    case 503:
    case 504:
      return GrpcStatus.Unavailable;
    default:
      return GrpcStatus.Unknown;
  }
}

/** Percent-decoding; what is not properly encoded stays as it is. */
function decodeMessage(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
