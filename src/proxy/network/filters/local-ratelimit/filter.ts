// Limits how fast new connections come: each takes a token, and one without a token is closed.

import { TokenBucket } from "#base/time/token-bucket.ts";
import {
  type LocalRateLimit,
  LocalRateLimitSchema,
} from "#wire/gen/envoy/extensions/filters/network/local_ratelimit/v3/local_rate_limit_pb.ts";
import { milliseconds } from "../../../config/parse/values.ts";
import type { ConnectionInfo } from "../../../transport/connection-info.ts";
import type { NetworkEnvironment } from "../../environment.ts";
import {
  CONTINUE,
  defineNetworkFilter,
  type FilterPlace,
  type NetworkFilterType,
  STOP,
  settingsFrom,
  sharedFilter,
} from "../../filter.ts";

interface LocalRateLimitSettings {
  readonly statPrefix: string;
  readonly maxTokens: number;
  readonly tokensPerFill: number;
  readonly fillIntervalMs: number;
  readonly isOn: boolean;
  /** Filters with the same key and the same bucket share it; empty shares nothing. */
  readonly shareKey: string;
}

/** Envoy's least. */
const leastIntervalMs = 50;
/** Buckets by key and size. Chains that name the same key are few, and name the same few. */
const maxShared = 1000;

export const localRateLimit: NetworkFilterType = defineNetworkFilter<LocalRateLimitSettings>({
  type: "local_ratelimit",
  messages: [settingsFrom(LocalRateLimitSchema, parse)],
  configure: (settings, { environment }) => {
    const { stats, loop } = environment.http;
    const { statPrefix, isOn } = settings;
    const limited = stats.counter(`local_rate_limit.${statPrefix}.rate_limited`);
    let bucket: TokenBucket | null = null;
    return sharedFilter({
      onNewConnection: (connection) => {
        if (!isOn) return CONTINUE;
        // Where the filter stands is told by the first connection, the same in every thread.
        bucket ??= bucketFor(settings, environment, connection.info);
        if (bucket.take(loop.now)) return CONTINUE;
        limited.add();
        connection.refuse({
          flag: "RL",
          details: "local_ratelimit_close",
          cause: `more new connections than ${settings.tokensPerFill} in ${settings.fillIntervalMs} ms`,
        });
        return STOP;
      },
    });
  },
});

function bucketFor(
  settings: LocalRateLimitSettings,
  { http: { cells, loop }, sharedBuckets }: NetworkEnvironment,
  { filterChainName, listenerName }: ConnectionInfo,
): TokenBucket {
  const { maxTokens, tokensPerFill, fillIntervalMs, shareKey, statPrefix } = settings;
  const key = `${maxTokens} ${tokensPerFill} ${fillIntervalMs} ${shareKey}`;
  const known = shareKey === "" ? undefined : sharedBuckets.get(key);
  if (known !== undefined) return known;
  const place = shareKey === "" ? `${listenerName}\n${filterChainName}\n${statPrefix}` : "";
  const cell = cells?.claim(`network local_ratelimit\n${place}\n${key}`) ?? null;
  const bucket = new TokenBucket(settings, loop.now, cell);
  if (shareKey === "") return bucket;
  if (sharedBuckets.size >= maxShared) sharedBuckets.clear();
  sharedBuckets.set(key, bucket);
  return bucket;
}

function parse(message: LocalRateLimit, { path, problems }: FilterPlace): LocalRateLimitSettings | null {
  const bucket = message.tokenBucket;
  if (bucket === undefined) {
    problems.invalid(`${path}.token_bucket`, "is missing");
    return null;
  }
  const fillIntervalMs = milliseconds(bucket.fillInterval, 0);
  if (fillIntervalMs < leastIntervalMs) {
    problems.invalid(`${path}.token_bucket.fill_interval`, `must be at least ${leastIntervalMs} ms`);
  }
  if (bucket.maxTokens < 1) problems.invalid(`${path}.token_bucket.max_tokens`, "must be at least 1");
  return {
    statPrefix: message.statPrefix,
    maxTokens: bucket.maxTokens,
    tokensPerFill: bucket.tokensPerFill ?? 1,
    fillIntervalMs,
    isOn: message.runtimeEnabled?.defaultValue !== false,
    shareKey: message.shareKey,
  };
}
