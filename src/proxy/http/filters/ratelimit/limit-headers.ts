// x-ratelimit headers (draft-polli-ratelimit-headers-03): the limit of which least is left, and the windows of all.
import {
  type RateLimitResponse_DescriptorStatus as DescriptorStatus,
  RateLimitResponse_RateLimit_Unit as Unit,
} from "#wire/gen/envoy/service/ratelimit/v3/rls_pb.ts";
import type { Headers } from "#wire/http/headers.ts";

const windowSeconds: Readonly<Record<number, number>> = {
  [Unit.SECOND]: 1,
  [Unit.MINUTE]: 60,
  [Unit.HOUR]: 3600,
  [Unit.DAY]: 86_400,
  [Unit.MONTH]: 2_592_000,
  [Unit.YEAR]: 31_536_000,
};

export function addLimitHeaders(headers: Headers, statuses: readonly DescriptorStatus[]): void {
  let least: DescriptorStatus | null = null;
  let windows = "";
  for (const status of statuses) {
    const limit = status.currentLimit;
    if (limit === undefined) continue;
    if (least === null || status.limitRemaining < least.limitRemaining) least = status;
    const seconds = windowSeconds[limit.unit];
    if (seconds === undefined) continue;
    windows += `, ${limit.requestsPerUnit};w=${seconds}`;
    if (/^[\x20\x21\x23-\x5b\x5d-\x7e]+$/.test(limit.name)) windows += `;name="${limit.name}"`;
  }
  if (least?.currentLimit === undefined) return;
  headers.set("x-ratelimit-limit", `${least.currentLimit.requestsPerUnit}${windows}`);
  headers.set("x-ratelimit-remaining", String(least.limitRemaining));
  headers.set("x-ratelimit-reset", String(least.durationUntilReset?.seconds ?? 0));
}
