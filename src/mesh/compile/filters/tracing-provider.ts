// Providers of traces that mesh configuration names, as Envoy's tracers. Those that the proxies of other meshes speak to
// and ours does not are compiled as istiod does it; the proxy says what it leaves out.
import { create } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import {
  HeaderValueOption_HeaderAppendAction as AppendAction,
  type HeaderValueOption,
  HeaderValueOptionSchema,
} from "#wire/gen/envoy/config/core/v3/base_pb.ts";
import { type TypedExtensionConfig, TypedExtensionConfigSchema } from "#wire/gen/envoy/config/core/v3/extension_pb.ts";
import { type HttpService, HttpServiceSchema } from "#wire/gen/envoy/config/core/v3/http_service_pb.ts";
import { DatadogConfigSchema } from "#wire/gen/envoy/config/trace/v3/datadog_pb.ts";
import { OpenTelemetryConfigSchema } from "#wire/gen/envoy/config/trace/v3/opentelemetry_pb.ts";
import { SkyWalkingConfigSchema } from "#wire/gen/envoy/config/trace/v3/skywalking_pb.ts";
import {
  ZipkinConfig_CollectorEndpointVersion as EndpointVersion,
  ZipkinConfig_TraceContextOption as TraceContext,
  ZipkinConfigSchema,
} from "#wire/gen/envoy/config/trace/v3/zipkin_pb.ts";
import { DynatraceResourceDetectorConfigSchema } from "#wire/gen/envoy/extensions/tracers/opentelemetry/resource_detectors/v3/dynatrace_resource_detector_pb.ts";
import { EnvironmentResourceDetectorConfigSchema } from "#wire/gen/envoy/extensions/tracers/opentelemetry/resource_detectors/v3/environment_resource_detector_pb.ts";
import { DynatraceSamplerConfigSchema } from "#wire/gen/envoy/extensions/tracers/opentelemetry/samplers/v3/dynatrace_sampler_pb.ts";
import { milliseconds, pack } from "../envoy-values.ts";
import { type Collector, type CollectorLookup, collectorOf } from "./collector.ts";
import { duration, type Fields, fieldsOf, list, text } from "./provider-fields.ts";

export interface CompiledTracer {
  readonly name: string;
  readonly config: Any;
  /** Length of paths in tags; 0: the proxy's own. */
  readonly maxTagLength: number;
  /** Each attempt has a span of its own. */
  readonly spawnsUpstreamSpan: boolean;
  /** The tracer draws by itself: every request is handed to it. */
  readonly samples: boolean;
}

/** A variable of the control plane; undefined: it has none of the name, or there is no control plane. */
export type Environment = (name: string) => string | undefined;

/** Kinds that give traces, in Envoy's sense. */
const tracerKinds: readonly string[] = ["opentelemetry", "zipkin", "datadog", "skywalking"];

/** Undefined: the provider gives no traces, or its collector is not in the mesh. `serviceName` says whose spans they are. */
export function compileTracer(
  provider: Fields,
  serviceName: string,
  lookup: CollectorLookup,
  environment: Environment,
): CompiledTracer | undefined {
  const kind = tracerKinds.find((name) => provider[name] !== undefined);
  if (kind === undefined) return undefined;
  const fields = fieldsOf(provider[kind]);
  const collector = collectorOf(fields, lookup);
  if (collector === undefined) return undefined;
  const shared = { maxTagLength: Number(fields["maxTagLength"]) || 0, spawnsUpstreamSpan: false, samples: false };
  switch (kind) {
    case "opentelemetry": {
      const sampler = fields["dynatraceSampler"];
      const config = openTelemetry(fields, { serviceName, collector, lookup, environment });
      return { ...shared, name: "envoy.tracers.opentelemetry", config, samples: sampler !== undefined };
    }
    case "zipkin":
      return { ...shared, name: "envoy.tracers.zipkin", config: zipkin(fields, collector, environment) };
    case "datadog":
      return {
        ...shared,
        name: "envoy.tracers.datadog",
        config: pack(DatadogConfigSchema, {
          collectorCluster: collector.cluster,
          serviceName,
          collectorHostname: collector.host,
        }),
      };
    default:
      return {
        name: "envoy.tracers.skywalking",
        config: pack(SkyWalkingConfigSchema, { grpcService: grpcService(collector) }),
        maxTagLength: 0,
        spawnsUpstreamSpan: true,
        samples: false,
      };
  }
}

function zipkin(fields: Fields, collector: Collector, environment: Environment): Any {
  const usesW3c = fields["traceContextOption"] === "USE_B3_WITH_W3C_PROPAGATION";
  return pack(ZipkinConfigSchema, {
    collectorEndpointVersion: EndpointVersion.HTTP_JSON,
    traceId128bit: fields["enable64bitTraceId"] !== true,
    sharedSpanContext: false,
    traceContextOption: usesW3c ? TraceContext.USE_B3_WITH_W3C_PROPAGATION : TraceContext.USE_B3,
    collectorService: create(HttpServiceSchema, {
      httpUri: {
        uri: `http://${collector.host}${text(fields["path"]) || "/api/v2/spans"}`,
        httpUpstreamType: { case: "cluster", value: collector.cluster },
        timeout: milliseconds(duration(fields["timeout"]) ?? 5000),
      },
      requestHeadersToAdd: headers(fields["headers"], environment),
    }),
  });
}

interface Exporter {
  readonly serviceName: string;
  readonly collector: Collector;
  readonly lookup: CollectorLookup;
  readonly environment: Environment;
}

function openTelemetry(fields: Fields, { serviceName, collector, lookup, environment }: Exporter): Any {
  const http = fields["http"] === undefined ? undefined : fieldsOf(fields["http"]);
  const grpc = fieldsOf(fields["grpc"]);
  const timeout = duration(grpc["timeout"]);
  return pack(OpenTelemetryConfigSchema, {
    serviceName,
    ...(http === undefined
      ? {
          grpcService: {
            ...grpcService(collector),
            ...(timeout !== undefined && { timeout: milliseconds(timeout) }),
            initialMetadata: list(grpc["initialMetadata"]).map((item) => ({
              key: text(item["name"]),
              value: headerValue(item, environment),
            })),
          },
        }
      : { httpService: httpService(http, collector, text(http["path"]), environment) }),
    resourceDetectors: resourceDetectors(fieldsOf(fields["resourceDetectors"])),
    ...(fields["dynatraceSampler"] !== undefined &&
      dynatraceSampler(fieldsOf(fields["dynatraceSampler"]), http, { serviceName, collector, lookup, environment })),
  });
}

function grpcService({ cluster, host }: Collector) {
  return { targetSpecifier: { case: "envoyGrpc" as const, value: { clusterName: cluster, authority: host } } };
}

/** Three seconds, where nothing else is said, is Istio's default. */
function httpService(http: Fields, { cluster, host }: Collector, path: string, environment: Environment): HttpService {
  return create(HttpServiceSchema, {
    httpUri: {
      uri: `${host}/${path.replace(/^\/+/, "")}`,
      httpUpstreamType: { case: "cluster", value: cluster },
      timeout: milliseconds(duration(http["timeout"]) ?? 3000),
    },
    requestHeadersToAdd: headers(http["headers"], environment),
  });
}

function resourceDetectors(fields: Fields): TypedExtensionConfig[] {
  const detector = (name: string, typedConfig: Any): TypedExtensionConfig =>
    create(TypedExtensionConfigSchema, {
      name: `envoy.tracers.opentelemetry.resource_detectors.${name}`,
      typedConfig,
    });
  return [
    ...(fields["environment"] === undefined
      ? []
      : [detector("environment", pack(EnvironmentResourceDetectorConfigSchema, {}))]),
    ...(fields["dynatrace"] === undefined
      ? []
      : [detector("dynatrace", pack(DynatraceResourceDetectorConfigSchema, {}))]),
  ];
}

/** Asks where the spans go, unless it has a service of its own. */
function dynatraceSampler(
  fields: Fields,
  exporter: Fields | undefined,
  { collector, lookup, environment }: Exporter,
): { readonly sampler?: TypedExtensionConfig } {
  const own = fields["httpService"] === undefined ? undefined : fieldsOf(fields["httpService"]);
  const asked = own === undefined ? collector : collectorOf(own, lookup);
  const settings = own === undefined ? exporter : fieldsOf(own["http"]);
  if (asked === undefined || settings === undefined) return {};
  const path = own === undefined ? "api/v2/samplingConfiguration" : text(settings["path"]);
  const typedConfig = pack(DynatraceSamplerConfigSchema, {
    tenant: text(fields["tenant"]),
    clusterId: Number(fields["clusterId"]) || 0,
    rootSpansPerMinute: Number(fields["rootSpansPerMinute"]) || 0,
    httpService: httpService(settings, asked, path, environment),
  });
  const name = "envoy.tracers.opentelemetry.samplers.dynatrace";
  return { sampler: create(TypedExtensionConfigSchema, { name, typedConfig }) };
}

/** Empty where the variable is not there, which the check of mesh configuration says. */
function headerValue(item: Fields, environment: Environment): string {
  const name = text(item["envName"]);
  return name === "" ? text(item["value"]) : (environment(name) ?? "");
}

function headers(value: unknown, environment: Environment): HeaderValueOption[] {
  return list(value).map((item) =>
    create(HeaderValueOptionSchema, {
      appendAction: AppendAction.OVERWRITE_IF_EXISTS_OR_ADD,
      header: { key: text(item["name"]), value: headerValue(item, environment) },
    }),
  );
}
