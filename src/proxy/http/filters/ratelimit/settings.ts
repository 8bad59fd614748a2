// Settings of the global rate limit, for a chain and for a route.
import {
  RateLimit_XRateLimitHeadersRFCVersion as HeadersVersion,
  RateLimitPerRoute_OverrideOptions as OverrideOptions,
  type RateLimit,
  type RateLimitPerRoute,
  RateLimitPerRoute_VhRateLimitsOptions as VirtualHostOptions,
} from "#wire/gen/envoy/extensions/filters/http/ratelimit/v3/rate_limit_pb.ts";
import type { HeaderMutation } from "../../../config/http.ts";
import { decodeGrpcService, type GrpcServiceSettings } from "../../../config/parse/grpc-service.ts";
import { decodeHeaderOptions } from "../../../config/parse/header-mutations.ts";
import { milliseconds } from "../../../config/parse/values.ts";
import type { VirtualHostRules } from "../../../config/rate-limit.ts";
import type { FilterPlace } from "../../filter.ts";

export interface RateLimitSettings {
  readonly domain: string;
  readonly stage: number;
  readonly requests: "internal" | "external" | "both";
  readonly service: GrpcServiceSettings;
  /** Requests are refused when the service does not answer. */
  readonly deniesOnFailure: boolean;
  readonly status: number;
  readonly statusOnFailure: number;
  readonly asResourceExhausted: boolean;
  readonly addsLimitHeaders: boolean;
  readonly addsRatelimitedHeader: boolean;
  readonly responseHeaders: readonly HeaderMutation[];
  /** Of statistics; empty or with a dot at its end. */
  readonly statPrefix: string;
}

export interface RateLimitRouteSettings {
  readonly virtualHostRules: VirtualHostRules;
  /** Empty: the chain's. */
  readonly domain: string;
}

const requestTypes = { "": "both", both: "both", internal: "internal", external: "external" } as const;

export function parseRateLimit(message: RateLimit, { path, problems }: FilterPlace): RateLimitSettings | null {
  if (message.domain === "") problems.invalid(`${path}.domain`, "is missing");
  if (message.stage > 10) problems.invalid(`${path}.stage`, `${message.stage} is above 10`);
  const requests = Object.hasOwn(requestTypes, message.requestType)
    ? requestTypes[message.requestType as keyof typeof requestTypes]
    : null;
  if (requests === null) problems.invalid(`${path}.request_type`, `"${message.requestType}" is no type of requests`);
  const service = decodeGrpcService(
    message.rateLimitService?.grpcService,
    20,
    `${path}.rate_limit_service.grpc_service`,
    problems,
  );
  if (service === null || requests === null) return null;
  const status = message.rateLimitedStatus?.code ?? 429;
  return {
    domain: message.domain,
    stage: message.stage,
    requests,
    service: { ...service, timeoutMs: milliseconds(message.timeout, service.timeoutMs) },
    deniesOnFailure: message.failureModeDeny,
    status: status < 400 ? 429 : status,
    statusOnFailure: message.statusOnError?.code || 500,
    asResourceExhausted: message.rateLimitedAsResourceExhausted,
    addsLimitHeaders: message.enableXRatelimitHeaders === HeadersVersion.DRAFT_VERSION_03,
    addsRatelimitedHeader: !message.disableXEnvoyRatelimitedHeader,
    responseHeaders: decodeHeaderOptions(message.responseHeadersToAdd, `${path}.response_headers_to_add`, problems),
    statPrefix: message.statPrefix === "" ? "" : `${message.statPrefix}.`,
  };
}

export function parseRateLimitRoute(
  message: RateLimitPerRoute,
  { path, problems }: FilterPlace,
): RateLimitRouteSettings {
  if (message.rateLimits.length > 0) problems.unsupported(`${path}.rate_limits`, "rules in settings of the filter");
  if (message.overrideOption !== OverrideOptions.DEFAULT) {
    problems.unsupported(`${path}.override_option`, "overriding more specific settings");
  }
  return { virtualHostRules: virtualHostRules[message.vhRateLimits] ?? "override", domain: message.domain };
}

const virtualHostRules: Readonly<Record<number, VirtualHostRules>> = {
  [VirtualHostOptions.OVERRIDE]: "override",
  [VirtualHostOptions.INCLUDE]: "include",
  [VirtualHostOptions.IGNORE]: "ignore",
};
