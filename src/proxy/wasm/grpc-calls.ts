// gRPC calls that modules make by themselves, through the proxy's clusters.
import type { Pair } from "./pairs.ts";

export interface GrpcCallRequest {
  readonly cluster: string;
  /** As `package.Service`. */
  readonly service: string;
  readonly method: string;
  readonly metadata: readonly Pair[];
  /** 0 waits on. */
  readonly timeoutMs: number;
}

/** Hears of one call. Calls come in order: initial metadata, messages, trailing metadata, close; or close at any point. */
export interface GrpcCallHandler {
  onInitialMetadata(metadata: readonly Pair[]): void;
  onMessage(message: Buffer): void;
  onTrailingMetadata(metadata: readonly Pair[]): void;
  onClose(status: number, message: string): void;
}

export interface GrpcCall {
  send(message: Buffer, isLast: boolean): void;
  /** There are no more messages from here. */
  endRequest(): void;
  /** Ends without a word to the handler. */
  cancel(): void;
}

export interface GrpcCalls {
  hasCluster(name: string): boolean;
  /** Begins a call. The handler is never called before this returns. */
  start(request: GrpcCallRequest, handler: GrpcCallHandler): GrpcCall;
}
