// Settings of admission control.

import type { AdmissionControl } from "#wire/gen/envoy/extensions/filters/http/admission_control/v3/admission_control_pb.ts";
import type { Int32Range } from "#wire/gen/envoy/type/v3/range_pb.ts";
import { milliseconds } from "../../../config/parse/values.ts";
import type { FilterPlace } from "../../filter.ts";

export interface AdmissionSettings {
  readonly isEnabled: boolean;
  readonly windowMs: number;
  readonly aggression: number;
  /** Shares from 0 to 1. */
  readonly successThreshold: number;
  readonly maxRejection: number;
  readonly requestsPerSecond: number;
  readonly isHttpSuccess: (status: number) => boolean;
  readonly isGrpcSuccess: (status: number) => boolean;
}

/** Codes that say that a server cannot keep up: ABORTED, DATA_LOSS, DEADLINE_EXCEEDED, INTERNAL, RESOURCE_EXHAUSTED, UNAVAILABLE. */
const grpcFailures: ReadonlySet<number> = new Set([4, 8, 10, 13, 14, 15]);

export function parseAdmissionControl(message: AdmissionControl, { path, problems }: FilterPlace): AdmissionSettings {
  const keys = {
    enabled: message.enabled?.runtimeKey,
    aggression: message.aggression?.runtimeKey,
    sr_threshold: message.srThreshold?.runtimeKey,
    rps_threshold: message.rpsThreshold?.runtimeKey,
    max_rejection_probability: message.maxRejectionProbability?.runtimeKey,
  };
  for (const [field, key] of Object.entries(keys)) {
    if (key !== undefined && key !== "") problems.leftOut(`${path}.${field}.runtime_key`, "a runtime key");
  }
  const criteria = message.evaluationCriteria;
  if (criteria.case === undefined) problems.invalid(`${path}.success_criteria`, "is missing");
  const ranges = criteria.value?.httpCriteria?.httpSuccessStatus ?? [];
  const statuses = criteria.value?.grpcCriteria?.grpcSuccessStatus ?? [];
  for (const [i, range] of ranges.entries()) {
    if (range.start < 100 || range.end > 600 || range.start >= range.end) {
      problems.invalid(
        `${path}.success_criteria.http_criteria.http_success_status[${i}]`,
        `${range.start} to ${range.end} are no statuses`,
      );
    }
  }
  return {
    isEnabled: message.enabled?.defaultValue ?? true,
    windowMs: Math.max(1000, milliseconds(message.samplingWindow, 30_000)),
    aggression: Math.max(1, message.aggression?.defaultValue ?? 1),
    successThreshold: Math.max(0.01, (message.srThreshold?.defaultValue?.value ?? 95) / 100),
    maxRejection: (message.maxRejectionProbability?.defaultValue?.value ?? 80) / 100,
    requestsPerSecond: message.rpsThreshold?.defaultValue ?? 0,
    isHttpSuccess: ranges.length === 0 ? (status) => status < 500 : (status) => isIn(ranges, status),
    isGrpcSuccess:
      statuses.length === 0 ? (status) => !grpcFailures.has(status) : (status) => statuses.includes(status),
  };
}

/** Ranges end before their end. */
function isIn(ranges: readonly Int32Range[], status: number): boolean {
  return ranges.some(({ start, end }) => status >= start && status < end);
}
