// Retry policies of routes and virtual hosts.
import {
  type RetryPolicy as EnvoyRetryPolicy,
  type HeaderMatcher,
  RetryPolicy_ResetHeaderFormat as ResetFormat,
} from "#wire/gen/envoy/config/route/v3/route_components_pb.ts";
import { PreviousPrioritiesConfigSchema } from "#wire/gen/envoy/extensions/retry/priority/previous_priorities/v3/previous_priorities_config_pb.ts";
import { type RateLimitedBackoff, RetryOn, type RetryPolicy } from "./http.ts";
import { decodeHeaderMatcher } from "./parse/matcher.ts";
import { milliseconds, typeName, unpack } from "./parse/values.ts";
import type { Problems } from "./problems.ts";
import { retryBits } from "./retry-on.ts";

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
  const predicates = policy.retryHostPredicate.map((it) => it.name.slice(it.name.lastIndexOf(".") + 1));
  for (const name of predicates) {
    if (name === "omit_host_metadata") problems.leftOut(`${path}.retry_host_predicate`, "avoiding hosts by metadata");
  }
  const headers = (matchers: readonly HeaderMatcher[], field: string) =>
    matchers.map((it, i) => decodeHeaderMatcher(it, `${path}.${field}[${i}]`, problems));
  const baseMs = milliseconds(policy.retryBackOff?.baseInterval, 25);
  return {
    retryOn,
    numRetries,
    perTryTimeoutMs: milliseconds(policy.perTryTimeout, 0),
    perTryIdleTimeoutMs: milliseconds(policy.perTryIdleTimeout, 0),
    retriableStatusCodes: policy.retriableStatusCodes,
    retriableHeaders: headers(policy.retriableHeaders, "retriable_headers"),
    retriableRequestHeaders: headers(policy.retriableRequestHeaders, "retriable_request_headers"),
    hostSelectionAttempts: Math.max(1, Number(policy.hostSelectionRetryMaxAttempts)),
    avoidPreviousHosts: predicates.includes("previous_hosts"),
    avoidCanaryHosts: predicates.includes("omit_canary_hosts"),
    priorityUpdateFrequency: decodeRetryPriority(policy.retryPriority, `${path}.retry_priority`, problems),
    backoffBaseMs: baseMs,
    backoffMaxMs: milliseconds(policy.retryBackOff?.maxInterval, baseMs * 10),
    rateLimitedBackoff: decodeRateLimitedBackoff(policy.rateLimitedRetryBackOff),
  };
}

/** `previous_priorities`: how often the priorities that were tried are left out. */
function decodeRetryPriority(priority: EnvoyRetryPolicy["retryPriority"], path: string, problems: Problems): number {
  const any = priority?.configType.value;
  if (priority === undefined) return 0;
  if (any === undefined || typeName(any) !== PreviousPrioritiesConfigSchema.typeName) {
    problems.leftOut(path, `the retry priority ${priority.name}`);
    return 0;
  }
  const { updateFrequency } = unpack(any, PreviousPrioritiesConfigSchema, path, problems) ?? { updateFrequency: 0 };
  if (updateFrequency <= 0) problems.invalid(`${path}.update_frequency`, "is not above 0");
  return updateFrequency;
}

function decodeRateLimitedBackoff(backoff: EnvoyRetryPolicy["rateLimitedRetryBackOff"]): RateLimitedBackoff | null {
  if (backoff === undefined || backoff.resetHeaders.length === 0) return null;
  return {
    headers: backoff.resetHeaders.map(({ name, format }) => ({
      name: name.toLowerCase(),
      format: format === ResetFormat.UNIX_TIMESTAMP ? "unix_timestamp" : "seconds",
    })),
    maxIntervalMs: milliseconds(backoff.maxInterval, 300_000),
  };
}
