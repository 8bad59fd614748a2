// Reads a Telemetry.
import {
  boolean,
  decodeSpec,
  duration,
  type Fields,
  list,
  map,
  number,
  oneOf,
  optional,
  record,
  string,
  text,
  withDefault,
} from "../../objects/decode.ts";
import { policyTarget } from "../../objects/fields/policy-target.ts";
import type { KubernetesObject } from "../../objects/kubernetes-object.ts";
import type { Report } from "../../objects/report.ts";
import {
  type AccessLogging,
  type Metrics,
  type MetricsOverride,
  standardMetrics,
  TagOperation,
  type TagOverride,
  type TelemetrySpec,
  type Tracing,
  WorkloadMode,
} from "./spec.ts";

const mode = withDefault(oneOf(Object.values(WorkloadMode)), WorkloadMode.Both);
const side: Fields<Pick<AccessLogging, "match" | "providers">> = {
  match: optional(record<NonNullable<AccessLogging["match"]>>({ mode })),
  providers: list(record<AccessLogging["providers"][number]>({ name: text })),
};

const metricsOverride = record<MetricsOverride>({
  match: optional(
    record<NonNullable<MetricsOverride["match"]>>({
      metric: optional(oneOf(["ALL_METRICS", ...Object.keys(standardMetrics)])),
      customMetric: optional(string),
      mode,
    }),
  ),
  disabled: optional(boolean),
  tagOverrides: map(
    record<TagOverride>({
      operation: withDefault(oneOf(Object.values(TagOperation)), TagOperation.Upsert),
      value: text,
    }),
  ),
});

const tag = record<Tracing["customTags"][string]>({
  literal: optional(record<{ value: string }>({ value: text })),
  environment: optional(record<{ name: string; defaultValue: string }>({ name: text, defaultValue: text })),
  header: optional(record<{ name: string; defaultValue: string }>({ name: text, defaultValue: text })),
  formatter: optional(record<{ value: string }>({ value: text })),
});

const spec = record<TelemetrySpec>({
  ...policyTarget,
  accessLogging: list(
    record<AccessLogging>({
      ...side,
      disabled: optional(boolean),
      filter: optional(record<NonNullable<AccessLogging["filter"]>>({ expression: text })),
    }),
  ),
  metrics: list(
    record<Metrics>({
      providers: side.providers,
      overrides: list(metricsOverride),
      reportingInterval: optional(duration),
    }),
  ),
  tracing: list(
    record<Tracing>({
      ...side,
      randomSamplingPercentage: optional(number),
      disableSpanReporting: optional(boolean),
      customTags: map(tag),
      useRequestIdForTraceSampling: optional(boolean),
      enableIstioTags: optional(boolean),
      disableContextPropagation: optional(boolean),
    }),
  ),
});

export function decodeTelemetry(object: KubernetesObject, report: Report): TelemetrySpec | undefined {
  return decodeSpec(object, spec, report);
}
