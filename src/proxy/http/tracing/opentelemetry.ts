// OpenTelemetry: W3C's headers, and spans in OTLP to a collector, over gRPC or HTTP.
// https://opentelemetry.io/docs/specs/otlp
import { create, toBinary } from "@bufbuild/protobuf";
import { ExportTraceServiceRequestSchema } from "#wire/gen/opentelemetry/proto/collector/trace/v1/trace_service_pb.ts";
import { type KeyValue, KeyValueSchema } from "#wire/gen/opentelemetry/proto/common/v1/common_pb.ts";
import {
  type Span as OtlpSpan,
  Span_SpanKind as SpanKind,
  SpanSchema,
  Status_StatusCode as StatusCode,
} from "#wire/gen/opentelemetry/proto/trace/v1/trace_pb.ts";
import { Headers } from "#wire/http/headers.ts";
import type { OpenTelemetryConfig } from "../../config/tracing.ts";
import { callGrpc } from "../../upstream/grpc-call.ts";
import { callHttp } from "../../upstream/http-call.ts";
import { ReportBuffer } from "../report-buffer.ts";
import { newId, Span } from "./span.ts";
import { sendW3c, w3cContext } from "./trace-context.ts";
import { type RequestStart, spanIntervalMs, spanNames, type Tracer, type TracerEnvironment } from "./tracer.ts";

const prefix = "tracing.opentelemetry.";
const exportPath = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const maxResponseBytes = 64 * 1024;

export class OpenTelemetryTracer implements Tracer {
  readonly #config: OpenTelemetryConfig;
  readonly #environment: TracerEnvironment;
  readonly #buffer: ReportBuffer<Span>;
  readonly #resource: KeyValue[];

  constructor(config: OpenTelemetryConfig, environment: TracerEnvironment) {
    this.#config = config;
    this.#environment = environment;
    this.#resource = resourceAttributes(config, environment);
    const { loop, stats } = environment;
    this.#buffer = new ReportBuffer(loop, stats, spanNames(prefix), spanIntervalMs, (spans, done) =>
      this.#export(spans, done),
    );
  }

  start(headers: Headers, { traced, isClient, host, startMs }: RequestStart): Span | null {
    const found = w3cContext(headers);
    if (found === "invalid") return null;
    return new Span({
      traceId: found?.traceId ?? newId(16),
      spanId: newId(8),
      parentId: found?.spanId ?? "",
      sampled: found?.sampled ?? traced,
      traceState: found === null ? "" : (headers.get("tracestate") ?? ""),
      isClient,
      name: isClient ? `egress ${host}` : "ingress",
      startMs,
      isShared: false,
    });
  }

  send(headers: Headers, span: Span): void {
    sendW3c(headers, span);
  }

  report(span: Span): void {
    this.#buffer.add(span);
  }

  emptied(): Promise<void> {
    return this.#buffer.emptied();
  }

  #export(spans: readonly Span[], done: (isAccepted: boolean) => void): void {
    const { collector } = this.#config;
    const message = toBinary(
      ExportTraceServiceRequestSchema,
      create(ExportTraceServiceRequestSchema, {
        resourceSpans: [
          {
            resource: { attributes: this.#resource },
            scopeSpans: [{ scope: { name: "outrigger" }, spans: spans.map(otlpSpan) }],
          },
        ],
      }),
    );
    if (collector.protocol === "grpc") {
      callGrpc(
        this.#environment,
        { ...collector, path: exportPath, message },
        { onGrpcDone: () => done(true), onGrpcFailed: () => done(false) },
      );
      return;
    }
    const { cluster, host, path, timeoutMs, headers: configured } = collector;
    const headers = new Headers();
    headers.add("content-type", "application/x-protobuf");
    for (const { name, value } of configured) headers.set(name, value);
    const body = Buffer.from(message.buffer, message.byteOffset, message.byteLength);
    callHttp(
      this.#environment,
      { cluster, method: "POST", scheme: "http", authority: host, path, headers, body, timeoutMs, maxResponseBytes },
      { onCallDone: ({ status }) => done(status >= 200 && status < 300), onCallFailed: () => done(false) },
    );
  }
}

function resourceAttributes(
  { serviceName, readsEnvironment }: OpenTelemetryConfig,
  { node, hostEnvironment }: TracerEnvironment,
): KeyValue[] {
  const attributes = new Map<string, string>();
  if (readsEnvironment) {
    for (const pair of (hostEnvironment["OTEL_RESOURCE_ATTRIBUTES"] ?? "").split(",")) {
      const at = pair.indexOf("=");
      if (at > 0) attributes.set(pair.slice(0, at).trim(), decoded(pair.slice(at + 1).trim()));
    }
  }
  attributes.set("service.name", serviceName || node.cluster || "unknown_service:outrigger");
  attributes.set("telemetry.sdk.language", "nodejs");
  attributes.set("telemetry.sdk.name", "outrigger");
  return keyValues(attributes);
}

/** Values are percent-encoded, as in W3C's baggage. */
function decoded(value: string): string {
  try {
    return decodeURIComponent(value);
  } catch {
    return value;
  }
}

function keyValues(map: ReadonlyMap<string, string>): KeyValue[] {
  return [...map].map(([key, value]) =>
    create(KeyValueSchema, { key, value: { value: { case: "stringValue", value } } }),
  );
}

function otlpSpan(span: Span): OtlpSpan {
  return create(SpanSchema, {
    traceId: Buffer.from(span.traceId, "hex"),
    spanId: Buffer.from(span.spanId, "hex"),
    parentSpanId: Buffer.from(span.parentId, "hex"),
    traceState: span.traceState,
    name: span.name,
    kind: span.isClient ? SpanKind.CLIENT : SpanKind.SERVER,
    startTimeUnixNano: nanoseconds(span.startMs),
    endTimeUnixNano: nanoseconds(span.endMs),
    attributes: keyValues(span.tags),
    events: span.events.map(({ name, atMs }) => ({ name, timeUnixNano: nanoseconds(atMs) })),
    // A server is not to blame for what its client did wrong.
    status: { code: span.status >= (span.isClient ? 400 : 500) ? StatusCode.ERROR : StatusCode.UNSET },
  });
}

function nanoseconds(ms: number): bigint {
  return BigInt(Math.round(ms * 1000)) * 1000n;
}
