// `outlier_detection` with Envoy's defaults.
import type { OutlierDetection } from "#wire/gen/envoy/config/cluster/v3/outlier_detection_pb.ts";
import type { OutlierDetectionConfig } from "./outlier-detection.ts";
import { milliseconds } from "./parse/values.ts";
import type { Problems } from "./problems.ts";

/** Null where nothing is configured: then no endpoint is judged by its traffic. */
export function decodeOutlierDetection(
  outlier: OutlierDetection | undefined,
  problems: Problems,
): OutlierDetectionConfig | null {
  if (outlier === undefined) return null;
  if (outlier.monitors.length > 0) problems.unsupported("outlier_detection.monitors", "a monitor extension");
  const percent = (name: string, value: number | undefined, otherwise: number): number => {
    if (value !== undefined && value > 100) problems.invalid(`outlier_detection.${name}`, `${value} is above 100`);
    return value ?? otherwise;
  };
  const positive = (name: string, value: number): number => {
    if (value <= 0) problems.invalid(`outlier_detection.${name}`, "is not above 0");
    return value;
  };
  const baseEjectionMs = positive("base_ejection_time", milliseconds(outlier.baseEjectionTime, 30_000));
  return {
    consecutive5xx: outlier.consecutive5xx ?? 5,
    consecutiveGatewayFailure: outlier.consecutiveGatewayFailure ?? 5,
    consecutiveLocalOriginFailure: outlier.consecutiveLocalOriginFailure ?? 5,
    splitsLocalOrigin: outlier.splitExternalLocalOriginErrors,
    intervalMs: positive("interval", milliseconds(outlier.interval, 10_000)),
    baseEjectionMs,
    maxEjectionMs: positive(
      "max_ejection_time",
      milliseconds(outlier.maxEjectionTime, Math.max(300_000, baseEjectionMs)),
    ),
    maxEjectionJitterMs: milliseconds(outlier.maxEjectionTimeJitter, 0),
    maxEjectionPercent: percent("max_ejection_percent", outlier.maxEjectionPercent, 10),
    alwaysEjectsOneHost: outlier.alwaysEjectOneHost ?? false,
    successRateMinimumHosts: outlier.successRateMinimumHosts ?? 5,
    successRateRequestVolume: outlier.successRateRequestVolume ?? 100,
    successRateStdevFactor: outlier.successRateStdevFactor ?? 1900,
    failurePercentageThreshold: percent("failure_percentage_threshold", outlier.failurePercentageThreshold, 85),
    failurePercentageMinimumHosts: outlier.failurePercentageMinimumHosts ?? 5,
    failurePercentageRequestVolume: outlier.failurePercentageRequestVolume ?? 50,
    healthCheckUnejects: outlier.successfulActiveHealthCheckUnejectHost ?? true,
    enforcing: {
      consecutive5xx: percent("enforcing_consecutive_5xx", outlier.enforcingConsecutive5xx, 100),
      consecutiveGatewayFailure: percent(
        "enforcing_consecutive_gateway_failure",
        outlier.enforcingConsecutiveGatewayFailure,
        0,
      ),
      consecutiveLocalOriginFailure: percent(
        "enforcing_consecutive_local_origin_failure",
        outlier.enforcingConsecutiveLocalOriginFailure,
        100,
      ),
      successRate: percent("enforcing_success_rate", outlier.enforcingSuccessRate, 100),
      localOriginSuccessRate: percent(
        "enforcing_local_origin_success_rate",
        outlier.enforcingLocalOriginSuccessRate,
        100,
      ),
      failurePercentage: percent("enforcing_failure_percentage", outlier.enforcingFailurePercentage, 0),
      localOriginFailurePercentage: percent(
        "enforcing_failure_percentage_local_origin",
        outlier.enforcingFailurePercentageLocalOrigin,
        0,
      ),
    },
  };
}
