// Settings of HTTP filters that a VirtualService route carries: fault injection and CORS.
import type { Any } from "@bufbuild/protobuf/wkt";
import { CorsPolicySchema } from "#wire/gen/envoy/extensions/filters/http/cors/v3/cors_pb.ts";
import { HTTPFaultSchema } from "#wire/gen/envoy/extensions/filters/http/fault/v3/fault_pb.ts";
import type {
  CorsPolicy,
  HttpFaultAbort,
  HttpFaultDelay,
  HttpFaultInjection,
  HttpRoute,
} from "../../kinds/virtual-service/spec.ts";
import { grpcStatusNames } from "../../objects/fields/grpc-status.ts";
import { exactMatcher, milliseconds, pack } from "../envoy-values.ts";
import { fractionalPercent, wholePercent } from "./percent.ts";
import { stringMatcher } from "./string-match.ts";

/** The route's `typed_per_filter_config`, keyed by filter name. */
export function routeFilterSettings(route: HttpRoute): Record<string, Any> {
  return {
    ...(route.fault && { "envoy.filters.http.fault": faultSettings(route.fault) }),
    ...(route.corsPolicy && { "envoy.filters.http.cors": corsSettings(route.corsPolicy) }),
  };
}

function faultSettings(fault: HttpFaultInjection): Any {
  const delay = fault.delay && delaySettings(fault.delay);
  const abort = fault.abort && abortSettings(fault.abort);
  return pack(HTTPFaultSchema, { ...(delay && { delay }), ...(abort && { abort }) });
}

function delaySettings(delay: HttpFaultDelay) {
  if (delay.fixedDelay === undefined) return undefined;
  return {
    faultDelaySecifier: { case: "fixedDelay" as const, value: milliseconds(delay.fixedDelay) },
    // Nothing said means no delay, unless the deprecated whole number says so.
    percentage: delay.percentage === undefined ? wholePercent(delay.percent) : fractionalPercent(delay.percentage),
  };
}

function abortSettings(abort: HttpFaultAbort) {
  const percentage = fractionalPercent(abort.percentage ?? 0);
  if (abort.httpStatus !== undefined) {
    return { errorType: { case: "httpStatus" as const, value: abort.httpStatus }, percentage };
  }
  const code = grpcStatusNames.indexOf(abort.grpcStatus ?? "");
  return code < 0 ? undefined : { errorType: { case: "grpcStatus" as const, value: code }, percentage };
}

function corsSettings(cors: CorsPolicy): Any {
  return pack(CorsPolicySchema, {
    allowOriginStringMatch:
      cors.allowOrigins.length > 0
        ? cors.allowOrigins.flatMap((origin) => stringMatcher(origin) ?? [])
        : cors.allowOrigin.map(exactMatcher),
    allowMethods: cors.allowMethods.join(),
    allowHeaders: cors.allowHeaders.join(),
    exposeHeaders: cors.exposeHeaders.join(),
    ...(cors.maxAge !== undefined && { maxAge: String(Math.floor(cors.maxAge / 1000)) }),
    ...(cors.allowCredentials !== undefined && { allowCredentials: cors.allowCredentials }),
    forwardNotMatchingPreflights: cors.unmatchedPreflights !== "IGNORE",
    filterEnabled: { defaultValue: wholePercent(100) },
  });
}
