// HOT: per attempt. Which outcomes a retry policy retries, and how long to wait before. Envoy's `retry_on` rules.

import { GRPC_STATUS } from "#wire/http/header-names.ts";
import type { Headers } from "#wire/http/headers.ts";
import { RetryOn, type RetryPolicy } from "../../../config/http.ts";
import type { UpstreamEndpoint } from "../../../upstream/endpoint.ts";
import {
  RESET_CLUSTER_GONE,
  RESET_CONNECT_FAILURE,
  RESET_OVERFLOW,
  RESET_PROTOCOL_ERROR,
  RESET_REFUSED,
  RESET_REMOTE,
} from "../../../upstream/exchange.ts";

const anyReset = RetryOn.FiveXx | RetryOn.GatewayError | RetryOn.Reset;

/** Whether the policy retries a response with this status. */
export function retriesStatus(policy: RetryPolicy, status: number, headers: Headers): boolean {
  const on = policy.retryOn;
  if ((on & RetryOn.FiveXx) !== 0 && status >= 500) return true;
  if ((on & RetryOn.GatewayError) !== 0 && status >= 502 && status <= 504) return true;
  if ((on & RetryOn.Retriable4xx) !== 0 && status === 409) return true;
  if ((on & RetryOn.RetriableStatusCodes) !== 0 && policy.retriableStatusCodes.includes(status)) return true;
  if ((on & RetryOn.RetriableHeaders) !== 0 && hasRetriableHeader(policy, headers)) return true;
  if ((on & RetryOn.EnvoyRatelimited) !== 0 && headers.has("x-envoy-ratelimited")) return true;
  return (on & grpcBits) !== 0 && retriesGrpcStatus(on, headers.getId(GRPC_STATUS));
}

function hasRetriableHeader(policy: RetryPolicy, headers: Headers): boolean {
  return policy.retriableHeaders.some((matcher) => matcher.matches(headers.get(matcher.name)));
}

const grpcBits =
  RetryOn.GrpcCancelled |
  RetryOn.GrpcDeadlineExceeded |
  RetryOn.GrpcInternal |
  RetryOn.GrpcResourceExhausted |
  RetryOn.GrpcUnavailable;

function retriesGrpcStatus(on: number, status: string | undefined): boolean {
  switch (status) {
    case "1":
      return (on & RetryOn.GrpcCancelled) !== 0;
    case "4":
      return (on & RetryOn.GrpcDeadlineExceeded) !== 0;
    case "8":
      return (on & RetryOn.GrpcResourceExhausted) !== 0;
    case "13":
      return (on & RetryOn.GrpcInternal) !== 0;
    case "14":
      return (on & RetryOn.GrpcUnavailable) !== 0;
    default:
      return false;
  }
}

/** Whether the policy retries an exchange that ended with RESET_* before the response. */
export function retriesReset(policy: RetryPolicy, reason: number, requestStarted: boolean): boolean {
  const on = policy.retryOn;
  if (reason === RESET_OVERFLOW || reason === RESET_CLUSTER_GONE) return false;
  if ((on & anyReset) !== 0) return true;
  // The server said that it did not look at the request.
  if (reason === RESET_REFUSED) return (on & (RetryOn.RefusedStream | RetryOn.ResetBeforeRequest)) !== 0;
  if (reason === RESET_CONNECT_FAILURE) return (on & (RetryOn.ConnectFailure | RetryOn.ResetBeforeRequest)) !== 0;
  if (reason === RESET_PROTOCOL_ERROR || reason === RESET_REMOTE) return false;
  return (on & RetryOn.ResetBeforeRequest) !== 0 && !requestStarted;
}

/** Whether a try that took longer than the per-try timeout is retried. */
export function retriesTimeout(policy: RetryPolicy): boolean {
  return (policy.retryOn & anyReset) !== 0;
}

/** Envoy's fully jittered exponential back-off; `attempt` counts retries from 1. */
export function backoffMs(policy: RetryPolicy, attempt: number, random: number): number {
  const base = policy.backoffBaseMs > 0 ? policy.backoffBaseMs : 25;
  const max = policy.backoffMaxMs > 0 ? policy.backoffMaxMs : base * 10;
  return Math.floor(random * Math.min(max, base * (2 ** Math.min(attempt, 20) - 1)));
}

/** What a response says of when to come back, where the policy asks for it; null: nothing. */
export function rateLimitedBackoffMs(policy: RetryPolicy, headers: Headers, now: number): number | null {
  const asked = policy.rateLimitedBackoff;
  if (asked === null) return null;
  for (const { name, format } of asked.headers) {
    const value = headers.get(name);
    if (value === undefined || !/^\d{1,12}$/.test(value)) continue;
    const waitMs = format === "seconds" ? Number(value) * 1000 : Number(value) * 1000 - now;
    if (waitMs >= 0 && waitMs <= asked.maxIntervalMs) return waitMs;
  }
  return null;
}

/** Methods that may be sent again when it is unknown whether the server saw the first try (RFC 9110 9.2.2). */
export function isIdempotent(method: string): boolean {
  return (
    method === "GET" ||
    method === "HEAD" ||
    method === "PUT" ||
    method === "DELETE" ||
    method === "OPTIONS" ||
    method === "TRACE"
  );
}

/** The priorities of the tries so far, counted in steps of the policy's frequency; null while they all may be used. */
export function leftPriorities(policy: RetryPolicy, tried: readonly UpstreamEndpoint[]): readonly number[] | null {
  const { priorityUpdateFrequency: step } = policy;
  if (step === 0 || tried.length < step) return null;
  return tried.slice(0, tried.length - (tried.length % step)).map(({ config }) => config.priority);
}
