// Telemetry as decoded.
import type { PolicyTarget } from "../../objects/fields/policy-target.ts";
import type { Milliseconds } from "../../objects/fields/units.ts";

export interface TelemetrySpec extends PolicyTarget {
  readonly accessLogging: readonly AccessLogging[];
  readonly metrics: readonly Metrics[];
  readonly tracing: readonly Tracing[];
}

export const WorkloadMode = { Both: "CLIENT_AND_SERVER", Client: "CLIENT", Server: "SERVER" } as const;
export type WorkloadMode = (typeof WorkloadMode)[keyof typeof WorkloadMode];

interface ProviderReference {
  readonly name: string;
}

export interface AccessLogging {
  readonly match?: { readonly mode: WorkloadMode };
  /** Empty means those of the level above. */
  readonly providers: readonly ProviderReference[];
  readonly disabled?: boolean;
  /** A CEL expression: what is logged at all. */
  readonly filter?: { readonly expression: string };
}

export const TagOperation = { Upsert: "UPSERT", Remove: "REMOVE" } as const;
export type TagOperation = (typeof TagOperation)[keyof typeof TagOperation];

export interface TagOverride {
  readonly operation: TagOperation;
  /** A CEL expression. */
  readonly value: string;
}

/** Names of the API → of the series, without `istio_`. */
export const standardMetrics: Readonly<Record<string, string>> = {
  REQUEST_COUNT: "requests_total",
  REQUEST_DURATION: "request_duration_milliseconds",
  REQUEST_SIZE: "request_bytes",
  RESPONSE_SIZE: "response_bytes",
  TCP_OPENED_CONNECTIONS: "tcp_connections_opened_total",
  TCP_CLOSED_CONNECTIONS: "tcp_connections_closed_total",
  TCP_SENT_BYTES: "tcp_sent_bytes_total",
  TCP_RECEIVED_BYTES: "tcp_received_bytes_total",
  GRPC_REQUEST_MESSAGES: "request_messages_total",
  GRPC_RESPONSE_MESSAGES: "response_messages_total",
};

export interface MetricsOverride {
  readonly match?: {
    /** `ALL_METRICS`, as without it, or a key of `standardMetrics`. */
    readonly metric?: string;
    readonly customMetric?: string;
    readonly mode: WorkloadMode;
  };
  readonly disabled?: boolean;
  readonly tagOverrides: Readonly<Record<string, TagOverride>>;
}

export interface Metrics {
  readonly providers: readonly ProviderReference[];
  readonly overrides: readonly MetricsOverride[];
  /** Of TCP metrics. */
  readonly reportingInterval?: Milliseconds;
}

export interface CustomTag {
  readonly literal?: { readonly value: string };
  readonly environment?: { readonly name: string; readonly defaultValue: string };
  readonly header?: { readonly name: string; readonly defaultValue: string };
  readonly formatter?: { readonly value: string };
}

export interface Tracing {
  readonly match?: { readonly mode: WorkloadMode };
  readonly providers: readonly ProviderReference[];
  readonly randomSamplingPercentage?: number;
  readonly disableSpanReporting?: boolean;
  readonly customTags: Readonly<Record<string, CustomTag>>;
  readonly useRequestIdForTraceSampling?: boolean;
  readonly enableIstioTags?: boolean;
  readonly disableContextPropagation?: boolean;
}
