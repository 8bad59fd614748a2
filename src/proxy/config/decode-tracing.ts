// HttpConnectionManager.Tracing to its runtime shape. A tracer that this proxy does not speak is left out with a
// warning, and with it the tracing: who may talk to whom does not hang on spans.
import type { HttpService } from "#wire/gen/envoy/config/core/v3/http_service_pb.ts";
import type { Tracing_Http } from "#wire/gen/envoy/config/trace/v3/http_tracer_pb.ts";
import {
  type OpenTelemetryConfig,
  OpenTelemetryConfigSchema,
} from "#wire/gen/envoy/config/trace/v3/opentelemetry_pb.ts";
import {
  ZipkinConfig_CollectorEndpointVersion as EndpointVersion,
  ZipkinConfig_TraceContextOption as TraceContext,
  type ZipkinConfig,
  ZipkinConfigSchema,
} from "#wire/gen/envoy/config/trace/v3/zipkin_pb.ts";
import type {
  HttpConnectionManager,
  HttpConnectionManager_Tracing,
} from "#wire/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts";
import { UuidRequestIdConfigSchema } from "#wire/gen/envoy/extensions/request_id/uuid/v3/uuid_pb.ts";
import { EnvironmentResourceDetectorConfigSchema } from "#wire/gen/envoy/extensions/tracers/opentelemetry/resource_detectors/v3/environment_resource_detector_pb.ts";
import type { MetadataKey, MetadataKind } from "#wire/gen/envoy/type/metadata/v3/metadata_pb.ts";
import type { CustomTag } from "#wire/gen/envoy/type/tracing/v3/custom_tag_pb.ts";
import type { Percent } from "#wire/gen/envoy/type/v3/percent_pb.ts";
import { compileTextFormat } from "../observe/access-log/format.ts";
import type { AccessLogEntry } from "./access-log.ts";
import { decodeGrpcService } from "./parse/grpc-service.ts";
import { compileLogExpression } from "./parse/log-expression.ts";
import { milliseconds, typeName, unpack } from "./parse/values.ts";
import type { Problems } from "./problems.ts";
import type { RuntimeShare } from "./runtime.ts";
import type { HttpCollector, TagConfig, TracerConfig, TracingConfig } from "./tracing.ts";

/** Null: no spans are made. */
export function decodeTracing(manager: HttpConnectionManager, path: string, problems: Problems): TracingConfig | null {
  const { tracing } = manager;
  if (tracing === undefined) return null;
  const where = `${path}.tracing`;
  const tracer = tracing.provider === undefined ? null : decodeTracer(tracing.provider, `${where}.provider`, problems);
  if (tracing.provider !== undefined && tracer === null) return null;
  const any = manager.requestIdExtension?.typedConfig;
  const requestId =
    any !== undefined && typeName(any) === UuidRequestIdConfigSchema.typeName
      ? unpack(any, UuidRequestIdConfigSchema, `${path}.request_id_extension`, problems)
      : null;
  return {
    clientSampling: share(tracing.clientSampling, "tracing.client_enabled", 100),
    randomSampling: share(tracing.randomSampling, "tracing.random_sampling", 10_000),
    overallSampling: share(tracing.overallSampling, "tracing.global_enabled", 100),
    verbose: tracing.verbose,
    maxPathTagLength: tracing.maxPathTagLength ?? 256,
    customTags: decodeTags(tracing, where, problems),
    spawnsUpstreamSpan: tracing.spawnUpstreamSpan ?? false,
    operation: decodeOperation(tracing.operation, `${where}.operation`, problems),
    upstreamOperation: decodeOperation(tracing.upstreamOperation, `${where}.upstream_operation`, problems),
    propagates: !tracing.noContextPropagation,
    samplesByRequestId: requestId?.useRequestIdForTraceSampling ?? true,
    packsReason: requestId?.packTraceReason ?? true,
    tracer,
  };
}

/** As Envoy reads it: rounded to what is counted in. */
function share(percent: Percent | undefined, key: string, outOf: number): RuntimeShare {
  const numerator = Math.round(((percent?.value ?? 100) * outOf) / 100);
  return { fraction: Math.min(1, numerator / outOf), key };
}

/** Null after a problem, or for a tracer that is left out. */
export function decodeTracer(provider: Tracing_Http, path: string, problems: Problems): TracerConfig | null {
  const any = provider.configType.value;
  switch (typeName(any)) {
    case OpenTelemetryConfigSchema.typeName: {
      const config = any === undefined ? null : unpack(any, OpenTelemetryConfigSchema, path, problems);
      return config === null ? null : decodeOpenTelemetry(config, path, problems);
    }
    case ZipkinConfigSchema.typeName: {
      const config = any === undefined ? null : unpack(any, ZipkinConfigSchema, path, problems);
      return config === null ? null : decodeZipkin(config, path, problems);
    }
    default:
      problems.leftOut(path, `sending spans to ${provider.name || typeName(any)}`);
      return null;
  }
}

function decodeZipkin(config: ZipkinConfig, path: string, problems: Problems): TracerConfig {
  if (config.collectorEndpointVersion !== EndpointVersion.HTTP_JSON) {
    problems.replaced(`${path}.collector_endpoint_version`, "a form of spans other than HTTP_JSON", "JSON is sent");
  }
  const { collectorService } = config;
  const service: HttpCollector =
    collectorService === undefined
      ? {
          protocol: "http",
          cluster: config.collectorCluster,
          host: config.collectorHostname || config.collectorCluster,
          path: config.collectorEndpoint,
          timeoutMs: 5000,
          headers: [],
        }
      : httpCollector(collectorService, `${path}.collector_service`, problems);
  if (service.cluster === "") problems.invalid(path, "names no cluster of collectors");
  if (service.path === "") problems.invalid(path, "names no path of a collector");
  return {
    type: "zipkin",
    service,
    has128BitIds: config.traceId128bit,
    sharesSpans: config.sharedSpanContext ?? true,
    speaksW3c: config.traceContextOption === TraceContext.USE_B3_WITH_W3C_PROPAGATION,
  };
}

function decodeOpenTelemetry(config: OpenTelemetryConfig, path: string, problems: Problems): TracerConfig | null {
  const { grpcService, httpService, sampler, resourceDetectors } = config;
  if (sampler !== undefined) {
    problems.replaced(`${path}.sampler`, `the sampler ${sampler.name}`, "the connection manager's sampling counts");
  }
  let readsEnvironment = false;
  for (const [i, { name, typedConfig }] of resourceDetectors.entries()) {
    if (typeName(typedConfig) === EnvironmentResourceDetectorConfigSchema.typeName) readsEnvironment = true;
    else problems.leftOut(`${path}.resource_detectors[${i}]`, `the resource detector ${name}`);
  }
  const shared = { type: "opentelemetry", serviceName: config.serviceName, readsEnvironment } as const;
  if (httpService !== undefined) {
    return { ...shared, collector: httpCollector(httpService, `${path}.http_service`, problems) };
  }
  const grpc = decodeGrpcService(grpcService, 10_000, `${path}.grpc_service`, problems);
  return grpc === null ? null : { ...shared, collector: { protocol: "grpc", ...grpc } };
}

/** The URI may be without its scheme, as Istio writes it. */
function httpCollector(service: HttpService, path: string, problems: Problems): HttpCollector {
  const uri = service.httpUri;
  const cluster = uri?.httpUpstreamType.value ?? "";
  if (cluster === "") problems.invalid(`${path}.http_uri.cluster`, "is missing");
  const text = (uri?.uri ?? "").replace(/^[a-z]+:\/\//i, "");
  if (text === "") problems.invalid(`${path}.http_uri.uri`, "is missing");
  const slash = text.indexOf("/");
  const host = slash < 0 ? text : text.slice(0, slash);
  return {
    protocol: "http",
    cluster,
    host: host || cluster,
    path: slash < 0 ? "/" : text.slice(slash),
    timeoutMs: milliseconds(uri?.timeout, 5000),
    headers: service.requestHeadersToAdd.flatMap(({ header }) =>
      header === undefined ? [] : [{ name: header.key.toLowerCase(), value: header.value }],
    ),
  };
}

function decodeTags(tracing: HttpConnectionManager_Tracing, path: string, problems: Problems): TagConfig[] {
  return tracing.customTags.flatMap((tag, i) => {
    const where = `${path}.custom_tags[${i}]`;
    if (tag.tag === "") problems.invalid(`${where}.tag`, "is missing");
    const read = decodeTag(tag, where, problems);
    return read === null ? [] : [{ name: tag.tag, read }];
  });
}

function decodeTag({ type }: CustomTag, path: string, problems: Problems): TagConfig["read"] | null {
  switch (type.case) {
    case "literal": {
      const { value } = type.value;
      return () => value;
    }
    case "environment": {
      const { name, defaultValue } = type.value;
      return (entry) => entry.environment?.(name) || defaultValue;
    }
    case "requestHeader": {
      const { name, defaultValue } = type.value;
      return (entry) => entry.requestHeader(name.toLowerCase()) ?? defaultValue;
    }
    case "responseHeader": {
      const { name, defaultValue } = type.value;
      return (entry) => entry.responseHeader(name.toLowerCase()) ?? defaultValue;
    }
    case "metadata":
      return metadataTag(type.value.kind, type.value.metadataKey, type.value.defaultValue);
    case "value":
      return decodeOperation(type.value, `${path}.value`, problems);
    case undefined:
      problems.invalid(path, "names no kind of tag");
      return null;
  }
}

function metadataTag(
  kind: MetadataKind | undefined,
  metadataKey: MetadataKey | undefined,
  defaultValue: string,
): TagConfig["read"] {
  const key = metadataKey?.key ?? "";
  const path = (metadataKey?.path ?? []).map(({ segment }) => segment.value ?? "");
  const owner = kind?.kind.case;
  return (entry) => {
    let value =
      owner === "route" || owner === "cluster"
        ? entry.configuredMetadata?.(owner, key)
        : owner === "host"
          ? entry.configuredMetadata?.("endpoint", key)
          : entry.metadata?.(key);
    for (const name of path) {
      if (typeof value !== "object" || value === null || !Object.hasOwn(value, name)) return defaultValue;
      value = (value as Readonly<Record<string, unknown>>)[name];
    }
    if (value === undefined) return defaultValue;
    return typeof value === "string" ? value : JSON.stringify(value);
  };
}

/** Null for an empty format. What is not there is nothing, and no dash. */
function decodeOperation(format: string, path: string, problems: Problems): ((entry: AccessLogEntry) => string) | null {
  if (format === "") return null;
  const options = {
    omitEmptyValues: true,
    onValueless: (operator: string) => problems.leftOut(path, `the value of %${operator}%`),
    compileExpression: (text: string) => compileLogExpression(text, path, problems),
  };
  return compileTextFormat(format, options, (message) => problems.leftOut(path, `a part of the format (${message})`));
}
