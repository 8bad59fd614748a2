// Runtime shapes of tracing: who is sampled, what a span says, and where spans go.
import type { AccessLogEntry } from "./access-log.ts";
import type { RuntimeShare } from "./runtime.ts";

export interface TracingConfig {
  /** Of requests that bring `x-client-trace-id`. */
  readonly clientSampling: RuntimeShare;
  /** Of requests that nobody asks to trace. */
  readonly randomSampling: RuntimeShare;
  /** Upper bound of both, and of forced ones. */
  readonly overallSampling: RuntimeShare;
  /** Spans say when bytes came and went. */
  readonly verbose: boolean;
  /** Characters of the path in `http.url`. */
  readonly maxPathTagLength: number;
  readonly customTags: readonly TagConfig[];
  /** Each attempt has a span of its own. */
  readonly spawnsUpstreamSpan: boolean;
  /** Names of spans, over those of routes; null: the routes' count. */
  readonly operation: ((entry: AccessLogEntry) => string) | null;
  readonly upstreamOperation: ((entry: AccessLogEntry) => string) | null;
  /** Upstreams are told of the trace. */
  readonly propagates: boolean;
  /** The draw is by the request's id, so that all proxies draw alike; else the tracer decides. */
  readonly samplesByRequestId: boolean;
  /** The request's id says why it is traced. */
  readonly packsReason: boolean;
  /** Null: the proxy's own, where it has one. */
  readonly tracer: TracerConfig | null;
}

export interface TagConfig {
  readonly name: string;
  /** Undefined or empty: the span has no such tag. */
  readonly read: (entry: AccessLogEntry) => string | undefined;
}

export type TracerConfig = ZipkinConfig | OpenTelemetryConfig;

export interface ZipkinConfig {
  readonly type: "zipkin";
  readonly service: HttpCollector;
  readonly has128BitIds: boolean;
  /** The server's span has the id of the client's. */
  readonly sharesSpans: boolean;
  /** `traceparent` is read where there is no B3, and written beside it. */
  readonly speaksW3c: boolean;
}

export interface OpenTelemetryConfig {
  readonly type: "opentelemetry";
  /** `service.name`; empty: the proxy's own. */
  readonly serviceName: string;
  readonly collector: HttpCollector | GrpcCollector;
  /** `OTEL_RESOURCE_ATTRIBUTES` of the process say more of whom the spans are. */
  readonly readsEnvironment: boolean;
}

export interface HttpCollector {
  readonly protocol: "http";
  readonly cluster: string;
  readonly host: string;
  readonly path: string;
  readonly timeoutMs: number;
  /** Names in lower case. */
  readonly headers: readonly { readonly name: string; readonly value: string }[];
}

interface GrpcCollector {
  readonly protocol: "grpc";
  readonly cluster: string;
  /** Empty: the cluster's name. */
  readonly authority: string;
  readonly timeoutMs: number;
  readonly metadata: readonly { readonly name: string; readonly value: string }[];
}
