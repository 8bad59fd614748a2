// HOT: per request. The retry policy of one request: the route's, changed by what the request's own headers say. Only
// trusted clients may say it (see timeouts.ts). Envoy's `x-envoy-retry-on` and its relatives; they are taken off.
import { FIRST_ENVOY_CONTROL } from "#wire/http/header-names.ts";
import type { Headers } from "#wire/http/headers.ts";
import { RetryOn, type RetryPolicy } from "../../../config/http.ts";
import type { HeaderMatcher } from "../../../config/matcher.ts";
import { retryBits } from "../../../config/retry-on.ts";
import type { Stream } from "../../stream.ts";

const noPolicy: RetryPolicy = {
  retryOn: 0,
  numRetries: 1,
  perTryTimeoutMs: 0,
  perTryIdleTimeoutMs: 0,
  retriableStatusCodes: [],
  retriableHeaders: [],
  retriableRequestHeaders: [],
  hostSelectionAttempts: 1,
  avoidPreviousHosts: false,
  avoidCanaryHosts: false,
  priorityUpdateFrequency: 0,
  backoffBaseMs: 25,
  backoffMaxMs: 250,
  rateLimitedBackoff: null,
};

/** Null: nothing is retried. */
export function retryPolicyFor(stream: Stream, policy: RetryPolicy | null): RetryPolicy | null {
  const { headers } = stream;
  const asked = headers.hasFromId(FIRST_ENVOY_CONTROL) ? withRequestHeaders(headers, policy) : policy;
  if (asked === null || asked.retriableRequestHeaders.length === 0) return asked;
  const isRetriable = asked.retriableRequestHeaders.some((matcher) => matcher.matches(stream.header(matcher.name)));
  return isRetriable ? asked : null;
}

function withRequestHeaders(headers: Headers, policy: RetryPolicy | null): RetryPolicy | null {
  const on = take(headers, "x-envoy-retry-on");
  const grpcOn = take(headers, "x-envoy-retry-grpc-on");
  const maxRetries = take(headers, "x-envoy-max-retries");
  const statuses = take(headers, "x-envoy-retriable-status-codes");
  const names = take(headers, "x-envoy-retriable-header-names");
  const base = policy ?? noPolicy;
  const retryOn = base.retryOn | retryBits(`${on ?? ""},${grpcOn ?? ""}`);
  if (retryOn === 0) return null;
  return {
    ...base,
    retryOn: names === undefined ? retryOn : retryOn | RetryOn.RetriableHeaders,
    numRetries: maxRetries !== undefined && /^\d{1,4}$/.test(maxRetries) ? Number(maxRetries) : base.numRetries,
    retriableStatusCodes: [...base.retriableStatusCodes, ...list(statuses).map(Number).filter(Number.isInteger)],
    retriableHeaders: [...base.retriableHeaders, ...list(names).map(present)],
  };
}

function take(headers: Headers, name: string): string | undefined {
  const value = headers.get(name);
  if (value !== undefined) headers.remove(name);
  return value;
}

function list(value: string | undefined): string[] {
  return (value ?? "")
    .split(",", 64)
    .map((part) => part.trim())
    .filter((part) => part !== "");
}

function present(name: string): HeaderMatcher {
  const lower = name.toLowerCase();
  return { name: lower, matches: (value) => value !== undefined, description: `header ${lower} present` };
}
