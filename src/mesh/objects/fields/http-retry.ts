// Retries of a VirtualService route, and of the mesh's default.
import { boolean, type Decoder, duration, int32, optional, record, text, withDefault } from "../decode.ts";
import type { Milliseconds } from "./units.ts";

export interface HttpRetry {
  /** 0 switches retries off. */
  readonly attempts: number;
  readonly perTryTimeout?: Milliseconds;
  /** Comma separated; empty means the mesh default. Numbers are response codes. */
  readonly retryOn: string;
  readonly retryRemoteLocalities?: boolean;
  /** Undefined means true. */
  readonly retryIgnorePreviousHosts?: boolean;
  /** Base of the back-off; undefined means 25 ms. */
  readonly backoff?: Milliseconds;
}

export const decodeHttpRetry: Decoder<HttpRetry> = record<HttpRetry>({
  attempts: withDefault(int32, 0),
  perTryTimeout: optional(duration),
  retryOn: text,
  retryRemoteLocalities: optional(boolean),
  retryIgnorePreviousHosts: optional(boolean),
  backoff: optional(duration),
});
