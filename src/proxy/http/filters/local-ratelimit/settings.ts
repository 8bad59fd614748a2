// Settings of the local rate limit, for a chain and for a route alike.
import {
  VhRateLimitsOptions,
  XRateLimitHeadersRFCVersion,
} from "#wire/gen/envoy/extensions/common/ratelimit/v3/ratelimit_pb.ts";
import type { LocalRateLimit } from "#wire/gen/envoy/extensions/filters/http/local_ratelimit/v3/local_rate_limit_pb.ts";
import type { TokenBucket } from "#wire/gen/envoy/type/v3/token_bucket_pb.ts";
import type { HeaderMutation } from "../../../config/http.ts";
import { decodeHeaderOptions } from "../../../config/parse/header-mutations.ts";
import { milliseconds, runtimeShare } from "../../../config/parse/values.ts";
import type { Problems } from "../../../config/problems.ts";
import type { DescriptorEntry, VirtualHostRules } from "../../../config/rate-limit.ts";
import { never, type RuntimeShare } from "../../../config/runtime.ts";
import type { FilterPlace } from "../../filter.ts";
import type { TokenBucketSettings } from "./token-bucket.ts";

export interface LocalRateLimitSettings {
  readonly statPrefix: string;
  readonly status: number;
  /** Null: only descriptors, or only routes, have limits. */
  readonly bucket: TokenBucketSettings | null;
  readonly descriptors: readonly {
    readonly key: string;
    readonly words: string;
    readonly bucket: TokenBucketSettings;
  }[];
  /** The bucket without a descriptor counts requests with one, too. */
  readonly alwaysTakesDefault: boolean;
  readonly perConnection: boolean;
  readonly stage: number;
  readonly virtualHostRules: VirtualHostRules;
  readonly enabled: RuntimeShare;
  /** Other requests are only counted. */
  readonly enforced: RuntimeShare;
  readonly responseHeaders: readonly HeaderMutation[];
  readonly unenforcedRequestHeaders: readonly HeaderMutation[];
  /** `x-ratelimit-limit`, `-remaining` and `-reset` in responses. */
  readonly addsLimitHeaders: boolean;
  readonly asResourceExhausted: boolean;
}

const minFillMs = 50;

export function parseLocalRateLimit(message: LocalRateLimit, { path, problems }: FilterPlace): LocalRateLimitSettings {
  if (message.statPrefix === "") problems.invalid(`${path}.stat_prefix`, "is missing");
  if (message.stage > 10) problems.invalid(`${path}.stage`, `${message.stage} is above 10`);
  if (message.localClusterRateLimit !== undefined) {
    problems.unsupported(`${path}.local_cluster_rate_limit`, "a limit that all proxies of a cluster share");
  }
  const status = message.status?.code ?? 429;
  const requestHeaders = `${path}.request_headers_to_add_when_not_enforced`;
  return {
    statPrefix: message.statPrefix,
    status: status < 400 ? 429 : status,
    bucket: parseBucket(message.tokenBucket, `${path}.token_bucket`, problems),
    descriptors: parseDescriptors(message, path, problems),
    alwaysTakesDefault: message.alwaysConsumeDefaultTokenBucket ?? true,
    perConnection: message.localRateLimitPerDownstreamConnection,
    stage: message.stage,
    virtualHostRules: virtualHostRules[message.vhRateLimits] ?? "override",
    enabled: runtimeShare(message.filterEnabled, never),
    enforced: runtimeShare(message.filterEnforced, never),
    responseHeaders: decodeHeaderOptions(message.responseHeadersToAdd, `${path}.response_headers_to_add`, problems),
    unenforcedRequestHeaders: decodeHeaderOptions(message.requestHeadersToAddWhenNotEnforced, requestHeaders, problems),
    addsLimitHeaders: message.enableXRatelimitHeaders === XRateLimitHeadersRFCVersion.DRAFT_VERSION_03,
    asResourceExhausted: message.rateLimitedAsResourceExhausted,
  };
}

/** A route's settings must have a bucket. */
export function parseRouteLimit(message: LocalRateLimit, place: FilterPlace): LocalRateLimitSettings {
  if (message.tokenBucket === undefined) place.problems.invalid(`${place.path}.token_bucket`, "is missing");
  return parseLocalRateLimit(message, place);
}

const virtualHostRules: Readonly<Record<number, VirtualHostRules>> = {
  [VhRateLimitsOptions.OVERRIDE]: "override",
  [VhRateLimitsOptions.INCLUDE]: "include",
  [VhRateLimitsOptions.IGNORE]: "ignore",
};

function parseBucket(bucket: TokenBucket | undefined, path: string, problems: Problems): TokenBucketSettings | null {
  if (bucket === undefined) return null;
  const intervalMs = milliseconds(bucket.fillInterval, 0);
  const perFill = bucket.tokensPerFill ?? 1;
  if (bucket.maxTokens < 1) problems.invalid(`${path}.max_tokens`, "is below 1");
  if (perFill < 1) problems.invalid(`${path}.tokens_per_fill`, "is below 1");
  if (intervalMs < minFillMs) problems.invalid(`${path}.fill_interval`, `${intervalMs} ms is below ${minFillMs} ms`);
  return { maxTokens: bucket.maxTokens, tokensPerSecond: (perFill * 1000) / Math.max(intervalMs, minFillMs) };
}

function parseDescriptors(
  message: LocalRateLimit,
  path: string,
  problems: Problems,
): LocalRateLimitSettings["descriptors"] {
  const keys = new Set<string>();
  return message.descriptors.flatMap(({ entries, tokenBucket }, i) => {
    const at = `${path}.descriptors[${i}]`;
    const key = descriptorKey(entries);
    if (keys.has(key)) problems.invalid(at, "is the same as one before");
    keys.add(key);
    if (entries.length === 0) problems.invalid(`${at}.entries`, "is empty");
    if (tokenBucket === undefined) problems.invalid(`${at}.token_bucket`, "is missing");
    const bucket = parseBucket(tokenBucket, `${at}.token_bucket`, problems);
    const words = entries.map((entry) => `${entry.key} ${entry.value}`).join(", ");
    return bucket === null ? [] : [{ key, words, bucket }];
  });
}

/** Equal for descriptors with equal entries. */
export function descriptorKey(entries: readonly DescriptorEntry[]): string {
  return entries.map(({ key, value }) => `${key.length}:${key}${value.length}:${value}`).join("");
}
