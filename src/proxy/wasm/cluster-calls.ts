// HTTP calls of modules, carried by the proxy's clusters. The answer is held as a whole, because the module gets it as a
// whole.
import { Headers } from "#wire/http/headers.ts";
import type { EventLoop } from "../transport/event-loop.ts";
import type { ClusterManager } from "../upstream/cluster-manager.ts";
import { ClusterRequest, type ClusterRequestHandler } from "../upstream/cluster-request.ts";
import { BODY_CHUNKED, BODY_LENGTH, BODY_NONE, type ResponseHead, type UpstreamRequest } from "../upstream/exchange.ts";
import type { HttpCallRequest, HttpCallResponse, HttpCalls } from "./http-calls.ts";
import type { Pair } from "./pairs.ts";

export function clusterCalls(clusters: ClusterManager, loop: EventLoop): HttpCalls {
  return {
    hasCluster: (name) => clusters.get(name) !== undefined,
    send: (call, onEnd) => {
      let hasReturned = false;
      // Whoever asks gets the answer later, also where it is known at once that there will be none.
      const answer = (response: HttpCallResponse | null): void => {
        if (hasReturned) onEnd(response);
        else cancelLater = loop.after(0, () => onEnd(response));
      };
      let cancelLater: (() => void) | null = null;
      const hasBody = call.body.length > 0 || call.trailers.length > 0;
      const request = new ClusterRequest(
        { request: upstreamRequest(call), hasBody, timeoutMs: call.timeoutMs },
        new WholeResponse(call.maxResponseBytes, answer, () => request.cancel()),
      );
      const cluster = clusters.get(call.cluster);
      if (cluster === undefined) answer(null);
      else request.start(cluster);
      if (hasBody) {
        if (call.body.length > 0) request.write(call.body);
        request.end(call.trailers.length === 0 ? null : headersOf(call.trailers));
      }
      hasReturned = true;
      return () => {
        cancelLater?.();
        request.cancel();
      };
    },
  };
}

class WholeResponse implements ClusterRequestHandler {
  readonly #maxBytes: number;
  readonly #answer: (response: HttpCallResponse | null) => void;
  readonly #cancel: () => void;
  #headers: Pair[] = [];
  #body: Buffer[] = [];
  #bytes = 0;

  constructor(maxBytes: number, answer: (response: HttpCallResponse | null) => void, cancel: () => void) {
    this.#maxBytes = maxBytes;
    this.#answer = answer;
    this.#cancel = cancel;
  }

  onRequestHead(head: ResponseHead): void {
    this.#headers = [[":status", String(head.status)], ...pairsOf(head.headers)];
  }

  onRequestData(data: Buffer): void {
    this.#bytes += data.length;
    if (this.#bytes <= this.#maxBytes) {
      // The bytes belong to the connection, which reads into them again.
      this.#body.push(Buffer.from(data));
      return;
    }
    this.#cancel();
    this.#answer(null);
  }

  onRequestEnd(trailers: Headers | null): void {
    this.#answer({
      headers: this.#headers,
      body: Buffer.concat(this.#body),
      trailers: trailers === null ? [] : pairsOf(trailers),
    });
  }

  onRequestFailed(): void {
    this.#answer(null);
  }
}

function upstreamRequest(call: HttpCallRequest): UpstreamRequest {
  const pseudo = (name: string): string => call.headers.find(([it]) => it === name)?.[1] ?? "";
  const authority = pseudo(":authority");
  const headers = headersOf([
    ["host", authority],
    ...call.headers.filter(([name]) => !name.startsWith(":") && !framing.has(name)),
  ]);
  const isChunked = call.trailers.length > 0;
  if (call.body.length > 0 && !isChunked) headers.add("content-length", String(call.body.length));
  return {
    method: pseudo(":method"),
    scheme: pseudo(":scheme") || "http",
    authority,
    path: pseudo(":path"),
    headers,
    upgrade: "",
    requestFraming: isChunked ? BODY_CHUNKED : call.body.length > 0 ? BODY_LENGTH : BODY_NONE,
  };
}

/** What says where a message ends is ours to say, and so is the connection (RFC 9110 7.6.1). */
const framing: ReadonlySet<string> = new Set([
  "host",
  "content-length",
  "transfer-encoding",
  "connection",
  "keep-alive",
  "upgrade",
]);

function headersOf(pairs: readonly Pair[]): Headers {
  const headers = new Headers();
  for (const [name, value] of pairs) headers.add(name, value);
  return headers;
}

function pairsOf(headers: Headers): Pair[] {
  const pairs: Pair[] = [];
  headers.forEach((name, value) => void pairs.push([name, value]));
  return pairs;
}
