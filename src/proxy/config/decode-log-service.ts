// Access loggers that are services: envoy.extensions.access_loggers.grpc and open_telemetry. Filter state is not written:
// this proxy has none.
import { create } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import {
  type CommonGrpcAccessLogConfig,
  HttpGrpcAccessLogConfigSchema,
  TcpGrpcAccessLogConfigSchema,
} from "#wire/gen/envoy/extensions/access_loggers/grpc/v3/als_pb.ts";
import {
  type OpenTelemetryAccessLogConfig,
  OpenTelemetryAccessLogConfigSchema,
} from "#wire/gen/envoy/extensions/access_loggers/open_telemetry/v3/logs_service_pb.ts";
import {
  type AnyValue,
  AnyValueSchema,
  type KeyValueList,
  KeyValueSchema,
} from "#wire/gen/opentelemetry/proto/common/v1/common_pb.ts";
import { LogRecordSchema } from "#wire/gen/opentelemetry/proto/logs/v1/logs_pb.ts";
import { compileTextFormat, type FormatOptions } from "../observe/access-log/format.ts";
import { httpLogEntry, tcpLogEntry } from "../observe/access-log/log-records.ts";
import type { AccessLogEntry, ServiceLogger } from "./access-log.ts";
import type { LogServiceConfig, MakeRecord } from "./log-service.ts";
import { decodeGrpcService } from "./parse/grpc-service.ts";
import { compileLogExpression } from "./parse/log-expression.ts";
import { milliseconds, typeName, unpack } from "./parse/values.ts";
import type { Problems } from "./problems.ts";

/** Null after a problem; undefined when the logger is no service. */
export function decodeLogService(
  any: Any,
  path: string,
  problems: Problems,
): Omit<ServiceLogger, "accepts"> | null | undefined {
  switch (typeName(any)) {
    case HttpGrpcAccessLogConfigSchema.typeName: {
      const config = unpack(any, HttpGrpcAccessLogConfigSchema, path, problems);
      if (config === null) return null;
      const lower = (names: readonly string[]): string[] => names.map((name) => name.toLowerCase());
      const headers = {
        request: lower(config.additionalRequestHeadersToLog),
        response: lower(config.additionalResponseHeadersToLog),
        trailers: lower(config.additionalResponseTrailersToLog),
      };
      const service = decodeCommon("http", config.commonConfig, path, problems);
      return service === null ? null : { service, record: (entry) => httpLogEntry(entry, headers) };
    }
    case TcpGrpcAccessLogConfigSchema.typeName: {
      const config = unpack(any, TcpGrpcAccessLogConfigSchema, path, problems);
      const service = config === null ? null : decodeCommon("tcp", config.commonConfig, path, problems);
      return service === null ? null : { service, record: tcpLogEntry };
    }
    case OpenTelemetryAccessLogConfigSchema.typeName: {
      const config = unpack(any, OpenTelemetryAccessLogConfigSchema, path, problems);
      return config === null ? null : decodeOpenTelemetry(config, path, problems);
    }
    default:
      return undefined;
  }
}

function decodeCommon(
  type: LogServiceConfig["type"],
  config: CommonGrpcAccessLogConfig | undefined,
  path: string,
  problems: Problems,
): LogServiceConfig | null {
  const where = `${path}.common_config`;
  if (config === undefined) {
    problems.invalid(where, "is missing");
    return null;
  }
  if (config.logName === "") problems.invalid(`${where}.log_name`, "is missing");
  if (config.customTags.length > 0) problems.leftOut(`${where}.custom_tags`, "tags of one's own in access logs");
  const collector = decodeGrpcService(config.grpcService, 10_000, `${where}.grpc_service`, problems);
  if (collector === null) return null;
  return {
    type,
    logName: config.logName,
    collector,
    intervalMs: Math.max(1, milliseconds(config.bufferFlushInterval, 1000)),
    resource: [],
    hasBuiltInLabels: false,
  };
}

function decodeOpenTelemetry(
  config: OpenTelemetryAccessLogConfig,
  path: string,
  problems: Problems,
): Omit<ServiceLogger, "accepts"> | null {
  const service = decodeCommon("opentelemetry", config.commonConfig, path, problems);
  if (service === null) return null;
  const options: FormatOptions = {
    omitEmptyValues: false,
    onValueless: (operator) => problems.leftOut(path, `the value of %${operator}%`),
    compileExpression: (text) => compileLogExpression(text, path, problems),
  };
  const compile = (value: AnyValue): MakeValue => compileValue(value, options, (text) => problems.invalid(path, text));
  const body = config.body === undefined ? null : compile(config.body);
  const attributes = (config.attributes?.values ?? []).map(({ key, value }) => ({
    key,
    make: value === undefined ? null : compile(value),
  }));
  const record: MakeRecord = (entry) => {
    const traceId = String(entry.detail?.("traceId") ?? "");
    return create(LogRecordSchema, {
      timeUnixNano: BigInt(Math.round(entry.startTimeMs * 1000)) * 1000n,
      ...(body !== null && { body: body(entry) }),
      attributes: attributes.map(({ key, make }) =>
        create(KeyValueSchema, { key, ...(make !== null && { value: make(entry) }) }),
      ),
      ...(traceId !== "" && {
        traceId: Buffer.from(traceId.padStart(32, "0"), "hex"),
        spanId: Buffer.from(String(entry.detail?.("spanId") ?? ""), "hex"),
      }),
    });
  };
  return {
    service: {
      ...service,
      resource: plainAttributes(config.resourceAttributes),
      hasBuiltInLabels: !config.disableBuiltinLabels,
    },
    record,
  };
}

type MakeValue = (entry: AccessLogEntry) => AnyValue;

/** Text may hold operators; what holds none is the same for all entries. */
function compileValue(value: AnyValue, options: FormatOptions, onProblem: (message: string) => void): MakeValue {
  const kind = value.value;
  switch (kind.case) {
    case "stringValue": {
      const render = compileTextFormat(kind.value, options, onProblem);
      return (entry) => create(AnyValueSchema, { value: { case: "stringValue", value: render(entry) } });
    }
    case "kvlistValue": {
      const items = kind.value.values.map(({ key, value: inner }) => ({
        key,
        make: inner === undefined ? null : compileValue(inner, options, onProblem),
      }));
      return (entry) => {
        const values = items.map(({ key, make }) =>
          create(KeyValueSchema, { key, ...(make !== null && { value: make(entry) }) }),
        );
        return create(AnyValueSchema, { value: { case: "kvlistValue", value: { values } } });
      };
    }
    case "arrayValue": {
      const items = kind.value.values.map((item) => compileValue(item, options, onProblem));
      return (entry) =>
        create(AnyValueSchema, {
          value: { case: "arrayValue", value: { values: items.map((make) => make(entry)) } },
        });
    }
    default:
      return () => value;
  }
}

function plainAttributes(list: KeyValueList | undefined): (readonly [string, string])[] {
  return (list?.values ?? []).map(({ key, value }) => [key, String(value?.value.value ?? "")]);
}
