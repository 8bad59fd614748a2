// Access logs to files: Istio's default text and JSON formats, a format of the user's own, and the
// listener log that records only connections no filter chain took.
import { create, type JsonObject } from "@bufbuild/protobuf";
import {
  type AccessLog,
  type AccessLogFilter,
  AccessLogFilterSchema,
  AccessLogSchema,
} from "#wire/gen/envoy/config/accesslog/v3/accesslog_pb.ts";
import { FileAccessLogSchema } from "#wire/gen/envoy/extensions/access_loggers/file/v3/file_pb.ts";
import { ExpressionFilterSchema } from "#wire/gen/envoy/extensions/access_loggers/filters/cel/v3/cel_pb.ts";
import { pack } from "../envoy-values.ts";

export interface AccessLogSettings {
  /** A path as `/dev/stdout`; empty switches the log off. */
  readonly accessLogFile: string;
  /** Empty means Istio's default. */
  readonly accessLogFormat: string;
  readonly accessLogEncoding: "TEXT" | "JSON";
  readonly omitEmptyValues?: boolean;
}

export interface AccessLogs {
  /** For http_connection_manager and tcp_proxy. */
  readonly filter: readonly AccessLog[];
  /** For the listener: connections that matched no filter chain. */
  readonly listener: readonly AccessLog[];
}

export const noAccessLogs: AccessLogs = { filter: [], listener: [] };

/** Compiles the settings of a file; both lists are empty when there is none. */
export function accessLogs(settings: AccessLogSettings): AccessLogs {
  if (settings.accessLogFile === "") return noAccessLogs;
  const typedConfig = pack(FileAccessLogSchema, {
    path: settings.accessLogFile,
    accessLogFormat: {
      case: "logFormat",
      value: {
        ...(settings.omitEmptyValues && { omitEmptyValues: true }),
        format:
          settings.accessLogEncoding === "JSON"
            ? { case: "jsonFormat", value: jsonFormat(settings.accessLogFormat) }
            : {
                case: "textFormatSource",
                value: { specifier: { case: "inlineString", value: textFormat(settings.accessLogFormat) } },
              },
      },
    },
  });
  const log = create(AccessLogSchema, {
    name: "envoy.access_loggers.file",
    configType: { case: "typedConfig", value: typedConfig },
  });
  return { filter: [log], listener: [onlyUnmatched(log)] };
}

/** The log of a listener: connections that no filter chain took. */
export function onlyUnmatched({ name, configType }: AccessLog): AccessLog {
  return create(AccessLogSchema, { name, configType, filter: unmatchedConnections });
}

/** The logs restricted to what a CEL expression holds for; empty: as they are. */
export function filteredBy(expression: string, logs: AccessLogs): AccessLogs {
  if (expression === "") return logs;
  const filter = create(AccessLogFilterSchema, {
    filterSpecifier: {
      case: "extensionFilter",
      value: {
        name: "envoy.access_loggers.extension_filters.cel",
        configType: { case: "typedConfig", value: pack(ExpressionFilterSchema, { expression }) },
      },
    },
  });
  const also = ({ name, configType, filter: own }: AccessLog): AccessLog => {
    const both = own === undefined ? filter : allOf([own, filter]);
    return create(AccessLogSchema, { name, configType, filter: both });
  };
  return { filter: logs.filter.map(also), listener: logs.listener.map(also) };
}

function allOf(filters: AccessLogFilter[]): AccessLogFilter {
  return create(AccessLogFilterSchema, { filterSpecifier: { case: "andFilter", value: { filters } } });
}

const unmatchedConnections = create(AccessLogFilterSchema, {
  filterSpecifier: { case: "responseFlagFilter", value: { flags: ["NR"] } },
});

function textFormat(format: string): string {
  if (format === "") return defaultTextFormat;
  return format.endsWith("\n") ? format : `${format}\n`;
}

function jsonFormat(format: string): JsonObject {
  if (format === "") return defaultJsonFormat;
  try {
    const value: unknown = JSON.parse(format);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? toJson(value) : defaultJsonFormat;
  } catch {
    // The format is user text; Istio falls back to its default as well.
    return defaultJsonFormat;
  }
}

function toJson(value: object): JsonObject {
  return Object.fromEntries(Object.entries(value));
}

export const defaultTextFormat: string =
  '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% ' +
  "%RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% " +
  '"%UPSTREAM_TRANSPORT_FAILURE_REASON%" %BYTES_RECEIVED% %BYTES_SENT% %DURATION% ' +
  '%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" ' +
  '"%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% ' +
  "%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n";

const defaultJsonFormat: JsonObject = {
  start_time: "%START_TIME%",
  route_name: "%ROUTE_NAME%",
  method: "%REQ(:METHOD)%",
  path: "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
  protocol: "%PROTOCOL%",
  response_code: "%RESPONSE_CODE%",
  response_flags: "%RESPONSE_FLAGS%",
  response_code_details: "%RESPONSE_CODE_DETAILS%",
  connection_termination_details: "%CONNECTION_TERMINATION_DETAILS%",
  bytes_received: "%BYTES_RECEIVED%",
  bytes_sent: "%BYTES_SENT%",
  duration: "%DURATION%",
  upstream_service_time: "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%",
  x_forwarded_for: "%REQ(X-FORWARDED-FOR)%",
  user_agent: "%REQ(USER-AGENT)%",
  request_id: "%REQ(X-REQUEST-ID)%",
  authority: "%REQ(:AUTHORITY)%",
  upstream_host: "%UPSTREAM_HOST%",
  upstream_cluster: "%UPSTREAM_CLUSTER_RAW%",
  upstream_local_address: "%UPSTREAM_LOCAL_ADDRESS%",
  downstream_local_address: "%DOWNSTREAM_LOCAL_ADDRESS%",
  downstream_remote_address: "%DOWNSTREAM_REMOTE_ADDRESS%",
  requested_server_name: "%REQUESTED_SERVER_NAME%",
  upstream_transport_failure_reason: "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
};
