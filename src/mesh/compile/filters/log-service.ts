// Access logs that go to a service of the mesh over gRPC: Envoy's own (`envoyHttpAls`, `envoyTcpAls`) and OpenTelemetry's
// (`envoyOtelAls`), as istiod writes them.
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import { type AccessLog, AccessLogSchema } from "#wire/gen/envoy/config/accesslog/v3/accesslog_pb.ts";
import { ApiVersion } from "#wire/gen/envoy/config/core/v3/config_source_pb.ts";
import {
  type CommonGrpcAccessLogConfigSchema,
  HttpGrpcAccessLogConfigSchema,
  TcpGrpcAccessLogConfigSchema,
} from "#wire/gen/envoy/extensions/access_loggers/grpc/v3/als_pb.ts";
import { OpenTelemetryAccessLogConfigSchema } from "#wire/gen/envoy/extensions/access_loggers/open_telemetry/v3/logs_service_pb.ts";
import { pack } from "../envoy-values.ts";
import { type AccessLogs, defaultTextFormat, onlyUnmatched } from "./access-log.ts";
import { type Collector, type CollectorLookup, collectorOf } from "./collector.ts";
import { type Fields, fieldsOf, text, texts } from "./provider-fields.ts";

export const logServiceKinds: readonly string[] = ["envoyHttpAls", "envoyTcpAls", "envoyOtelAls"];

/** Undefined where the provider is no such service, or its service is not in the mesh. */
export function serviceLogs(provider: Fields, lookup: CollectorLookup): AccessLogs | undefined {
  const kind = logServiceKinds.find((name) => provider[name] !== undefined);
  if (kind === undefined) return undefined;
  const fields = fieldsOf(provider[kind]);
  const collector = collectorOf(fields, lookup);
  if (collector === undefined) return undefined;
  const log = compile(kind, fields, collector);
  return { filter: [log], listener: [onlyUnmatched(log)] };
}

function compile(kind: string, fields: Fields, collector: Collector): AccessLog {
  switch (kind) {
    case "envoyHttpAls":
      return named(
        "envoy.http_grpc_access_log",
        pack(HttpGrpcAccessLogConfigSchema, {
          commonConfig: common(fields, collector, "http_envoy_accesslog", filterState(fields)),
          additionalRequestHeadersToLog: texts(fields["additionalRequestHeadersToLog"]),
          additionalResponseHeadersToLog: texts(fields["additionalResponseHeadersToLog"]),
          additionalResponseTrailersToLog: texts(fields["additionalResponseTrailersToLog"]),
        }),
      );
    case "envoyTcpAls":
      return named(
        "envoy.tcp_grpc_access_log",
        pack(TcpGrpcAccessLogConfigSchema, {
          commonConfig: common(fields, collector, "tcp_envoy_accesslog", filterState(fields)),
        }),
      );
    default:
      return named("envoy.access_loggers.open_telemetry", openTelemetry(fields, collector));
  }
}

function named(name: string, typedConfig: Any): AccessLog {
  return create(AccessLogSchema, { name, configType: { case: "typedConfig", value: typedConfig } });
}

/** Who is on the other side. */
const peers: readonly string[] = ["upstream_peer", "downstream_peer"];
const peersOfWasm: readonly string[] = [
  ...peers,
  "wasm.upstream_peer",
  "wasm.upstream_peer_id",
  "wasm.downstream_peer",
  "wasm.downstream_peer_id",
];

function filterState(fields: Fields): readonly string[] {
  const own = texts(fields["filterStateObjectsToLog"]);
  return own.length > 0 ? own : peers;
}

function common(
  fields: Fields,
  { cluster, host }: Collector,
  logName: string,
  filterStateObjects: readonly string[],
): MessageInitShape<typeof CommonGrpcAccessLogConfigSchema> {
  return {
    logName: text(fields["logName"]) || logName,
    grpcService: { targetSpecifier: { case: "envoyGrpc", value: { clusterName: cluster, authority: host } } },
    transportApiVersion: ApiVersion.V3,
    filterStateObjectsToLog: [...filterStateObjects],
  };
}

function openTelemetry(fields: Fields, collector: Collector): Any {
  const format = fieldsOf(fields["logFormat"]);
  const labels = Object.entries(fieldsOf(format["labels"])).sort(([a], [b]) => (a < b ? -1 : 1));
  const stringValue = (value: string) => ({ value: { case: "stringValue" as const, value } });
  return pack(OpenTelemetryAccessLogConfigSchema, {
    commonConfig: common(fields, collector, "otel_envoy_accesslog", peersOfWasm),
    disableBuiltinLabels: true,
    body: stringValue(text(format["text"]) || defaultTextFormat),
    ...(labels.length > 0 && {
      attributes: { values: labels.map(([key, value]) => ({ key, value: stringValue(text(value)) })) },
    }),
  });
}
