// Retry policies: the `retry_on` words become bits.
import type { RetryPolicy as EnvoyRetryPolicy } from "#wire/gen/envoy/config/route/v3/route_components_pb.ts";
import { RetryOn, type RetryPolicy } from "./http.ts";
import { milliseconds } from "./parse/values.ts";
import type { Problems } from "./problems.ts";

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

/** Null when there is nothing to retry on. Unknown words are ignored, as Envoy does. */
export function decodeRetry(
  policy: EnvoyRetryPolicy | undefined,
  path: string,
  problems: Problems,
): RetryPolicy | null {
  if (policy === undefined) return null;
  let retryOn = retryBits(policy.retryOn);
  if (policy.retriableStatusCodes.length > 0 && policy.retryOn === "") retryOn |= RetryOn.RetriableStatusCodes;
  const numRetries = policy.numRetries ?? 1;
  if (retryOn === 0 || numRetries === 0) return null;
  if (policy.retriableHeaders.length > 0) problems.leftOut(`${path}.retriable_headers`, "retrying by response header");
  if (policy.retryPriority !== undefined) problems.leftOut(`${path}.retry_priority`, "a retry priority");
  const baseMs = milliseconds(policy.retryBackOff?.baseInterval, 25);
  return {
    retryOn,
    numRetries,
    perTryTimeoutMs: milliseconds(policy.perTryTimeout, 0),
    retriableStatusCodes: policy.retriableStatusCodes,
    hostSelectionAttempts: Math.max(1, Number(policy.hostSelectionRetryMaxAttempts)),
    avoidPreviousHosts: policy.retryHostPredicate.some((it) => it.name.includes("previous_hosts")),
    backoffBaseMs: baseMs,
    backoffMaxMs: milliseconds(policy.retryBackOff?.maxInterval, baseMs * 10),
  };
}

function retryBits(words: string): number {
  let bits = 0;
  for (const word of words.split(",")) bits |= bitByWord[word.trim()] ?? 0;
  return bits;
}
