// The words of `retry_on`, of policies and of `x-envoy-retry-on` headers, as bits.
import { RetryOn } from "./http.ts";

const bitByWord: Readonly<Record<string, number>> = {
  "5xx": RetryOn.FiveXx,
  "gateway-error": RetryOn.GatewayError,
  reset: RetryOn.Reset,
  "reset-before-request": RetryOn.ResetBeforeRequest,
  "connect-failure": RetryOn.ConnectFailure,
  "refused-stream": RetryOn.RefusedStream,
  "retriable-4xx": RetryOn.Retriable4xx,
  "retriable-status-codes": RetryOn.RetriableStatusCodes,
  "retriable-headers": RetryOn.RetriableHeaders,
  "envoy-ratelimited": RetryOn.EnvoyRatelimited,
  cancelled: RetryOn.GrpcCancelled,
  "deadline-exceeded": RetryOn.GrpcDeadlineExceeded,
  internal: RetryOn.GrpcInternal,
  "resource-exhausted": RetryOn.GrpcResourceExhausted,
  unavailable: RetryOn.GrpcUnavailable,
  "http3-post-connect-failure": RetryOn.Http3PostConnectFailure,
};

/** The bits of a comma-separated list of `retry_on` words; unknown words are ignored, as Envoy does. */
export function retryBits(words: string): number {
  let bits = 0;
  for (const word of words.split(",")) bits |= bitByWord[word.trim()] ?? 0;
  return bits;
}

/** The words of bits, in the order of Envoy's documentation. */
export function retryWords(bits: number): readonly string[] {
  return Object.keys(bitByWord).filter((word) => (bits & (bitByWord[word] ?? 0)) !== 0);
}
