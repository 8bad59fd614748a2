// Requests that modules send by themselves, through the proxy's clusters.
import type { Pair } from "./pairs.ts";

export interface HttpCallRequest {
  readonly cluster: string;
  /** Pseudo headers first: `:method`, `:path`, `:authority`. */
  readonly headers: readonly Pair[];
  readonly body: Buffer;
  readonly trailers: readonly Pair[];
  /** 0 waits on. */
  readonly timeoutMs: number;
  /** A longer body of the answer counts as no answer. */
  readonly maxResponseBytes: number;
}

export interface HttpCallResponse {
  /** `:status` first. */
  readonly headers: readonly Pair[];
  readonly body: Buffer;
  readonly trailers: readonly Pair[];
}

export interface HttpCalls {
  hasCluster(name: string): boolean;
  /** Sends a request. Calls back once, never before it returns: null when no complete response came. Gives how to cancel. */
  send(request: HttpCallRequest, onEnd: (response: HttpCallResponse | null) => void): () => void;
}
