// Settings of the fault filter, for a chain and for a route alike.
import type { FaultDelay, FaultRateLimit } from "#wire/gen/envoy/extensions/filters/common/fault/v3/fault_pb.ts";
import type { FaultAbort, HTTPFault } from "#wire/gen/envoy/extensions/filters/http/fault/v3/fault_pb.ts";
import type { FractionalPercent } from "#wire/gen/envoy/type/v3/percent_pb.ts";
import type { HeaderMatcher } from "../../../config/matcher.ts";
import { decodeHeaderMatcher } from "../../../config/parse/matcher.ts";
import { denominatorOf, fractionOf, milliseconds } from "../../../config/parse/values.ts";
import type { Problems } from "../../../config/problems.ts";
import type { FilterPlace } from "../../filter.ts";

/** How many requests a fault is for. */
export interface FaultShare {
  /** From 0 to 1. A request's own header may only lower it. */
  readonly share: number;
  /** What a number in the header is out of. */
  readonly outOf: number;
}

export interface FaultSettings {
  /** `fixedMs` null: the request says it in a header. */
  readonly delay: (FaultShare & { readonly fixedMs: number | null }) | null;
  readonly abort: (FaultShare & AbortStatus) | null;
  /** `fixedKbps` (KiB per second) null: the request says it in a header. */
  readonly rateLimit: (FaultShare & { readonly fixedKbps: number | null }) | null;
  /** Only requests to this cluster; empty: all. */
  readonly upstreamCluster: string;
  readonly headers: readonly HeaderMatcher[];
  /** Only requests whose `x-envoy-downstream-service-node` is one of these; empty: all. */
  readonly downstreamNodes: readonly string[];
  readonly maxActiveFaults: number;
  readonly countsDownstreamClusters: boolean;
  /** Written into the stream's metadata when a fault is injected. */
  readonly metadata: Readonly<Record<string, unknown>> | null;
}

/** Both null: the request says it in a header. */
interface AbortStatus {
  readonly httpStatus: number | null;
  readonly grpcStatus: number | null;
}

/** `10 %`. */
export function shareWords(share: number): string {
  return `${Number((share * 100).toFixed(4))} %`;
}

export function parseFault(message: HTTPFault, { path, problems }: FilterPlace): FaultSettings {
  noteRuntimeKeys(message, path, problems);
  return {
    delay: parseDelay(message.delay, `${path}.delay`, problems),
    abort: parseAbort(message.abort, `${path}.abort`, problems),
    rateLimit: parseRateLimit(message.responseRateLimit, `${path}.response_rate_limit`, problems),
    upstreamCluster: message.upstreamCluster,
    headers: message.headers.map((it, i) => decodeHeaderMatcher(it, `${path}.headers[${i}]`, problems)),
    downstreamNodes: message.downstreamNodes,
    maxActiveFaults: message.maxActiveFaults ?? Number.POSITIVE_INFINITY,
    countsDownstreamClusters: !message.disableDownstreamClusterStats,
    metadata: message.filterMetadata ?? null,
  };
}

function noteRuntimeKeys(message: HTTPFault, path: string, problems: Problems): void {
  const keys = {
    delay_percent_runtime: message.delayPercentRuntime,
    abort_percent_runtime: message.abortPercentRuntime,
    delay_duration_runtime: message.delayDurationRuntime,
    abort_http_status_runtime: message.abortHttpStatusRuntime,
    max_active_faults_runtime: message.maxActiveFaultsRuntime,
    response_rate_limit_percent_runtime: message.responseRateLimitPercentRuntime,
    abort_grpc_status_runtime: message.abortGrpcStatusRuntime,
  };
  for (const [field, key] of Object.entries(keys)) {
    if (key !== "") problems.leftOut(`${path}.${field}`, "a runtime key");
  }
}

function parseShare(percentage: FractionalPercent | undefined): FaultShare {
  return { share: fractionOf(percentage), outOf: denominatorOf(percentage) };
}

function parseDelay(delay: FaultDelay | undefined, path: string, problems: Problems): FaultSettings["delay"] {
  if (delay === undefined) return null;
  const specifier = delay.faultDelaySecifier;
  if (specifier.case === undefined) problems.invalid(path, "names no delay");
  const fixedMs = specifier.case === "fixedDelay" ? milliseconds(specifier.value, 0) : null;
  if (fixedMs !== null && fixedMs <= 0) problems.invalid(`${path}.fixed_delay`, "is not above 0");
  return { ...parseShare(delay.percentage), fixedMs };
}

function parseAbort(abort: FaultAbort | undefined, path: string, problems: Problems): FaultSettings["abort"] {
  if (abort === undefined) return null;
  const { case: type, value } = abort.errorType;
  if (type === undefined) problems.invalid(path, "names no status");
  if (type === "httpStatus" && (value < 200 || value >= 600)) {
    problems.invalid(`${path}.http_status`, `${value} is not a status from 200 to 599`);
  }
  return {
    ...parseShare(abort.percentage),
    httpStatus: type === "httpStatus" ? value : null,
    grpcStatus: type === "grpcStatus" ? value : null,
  };
}

function parseRateLimit(
  limit: FaultRateLimit | undefined,
  path: string,
  problems: Problems,
): FaultSettings["rateLimit"] {
  if (limit === undefined) return null;
  const { case: type, value } = limit.limitType;
  if (type === undefined) problems.invalid(path, "names no limit");
  const fixedKbps = type === "fixedLimit" ? Number(value.limitKbps) : null;
  if (fixedKbps !== null && fixedKbps < 1) problems.invalid(`${path}.fixed_limit.limit_kbps`, "is below 1");
  return { ...parseShare(limit.percentage), fixedKbps };
}
