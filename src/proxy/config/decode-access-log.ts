// envoy.config.accesslog.v3 to loggers: file sinks with text or JSON formats.
import type { AccessLog } from "#wire/gen/envoy/config/accesslog/v3/accesslog_pb.ts";
import type { SubstitutionFormatString } from "#wire/gen/envoy/config/core/v3/substitution_format_string_pb.ts";
import { type FileAccessLog, FileAccessLogSchema } from "#wire/gen/envoy/extensions/access_loggers/file/v3/file_pb.ts";
import {
  compileJsonFormat,
  compileTextFormat,
  type FormatOptions,
  type Render,
  withCause,
} from "../observe/access-log/format.ts";
import type { AccessLogger } from "./access-log.ts";
import { decodeAccessLogFilter } from "./decode-access-log-filter.ts";
import { decodeLogService } from "./decode-log-service.ts";
import { compileLogExpression } from "./parse/log-expression.ts";
import { inlineText, typeName, unpack } from "./parse/values.ts";
import type { Problems } from "./problems.ts";

export function decodeAccessLogs(logs: readonly AccessLog[], path: string, problems: Problems): AccessLogger[] {
  return logs.flatMap((log, i) => decodeAccessLog(log, `${path}[${i}]`, problems) ?? []);
}

function decodeAccessLog(log: AccessLog, path: string, problems: Problems): AccessLogger | null {
  const any = log.configType.value;
  const type = typeName(any);
  if (any !== undefined) {
    const service = decodeLogService(any, path, problems);
    if (service === null) return null;
    if (service !== undefined) return { ...service, accepts: decodeFilter(log, path, problems) };
  }
  if (any === undefined || type !== FileAccessLogSchema.typeName) {
    problems.leftOut(path, `the access logger ${log.name || type}`);
    return null;
  }
  const file = unpack(any, FileAccessLogSchema, path, problems);
  if (file === null) return null;
  if (file.path === "") problems.invalid(`${path}.path`, "is missing");
  const render = decodeFormat(file.accessLogFormat, `${path}.format`, problems);
  const placesCause = JSON.stringify(file.accessLogFormat.value ?? "", printable).includes("%OUTRIGGER_CAUSE%");
  return {
    path: file.path,
    render: placesCause ? render : withCause(render),
    accepts: decodeFilter(log, path, problems),
  };
}

function decodeFilter({ filter }: AccessLog, path: string, problems: Problems): AccessLogger["accepts"] {
  return filter === undefined ? null : decodeAccessLogFilter(filter, `${path}.filter`, problems);
}

/** JSON has no 64-bit integers. */
function printable(_key: string, value: unknown): unknown {
  return typeof value === "bigint" ? String(value) : value;
}

function decodeFormat(format: FileAccessLog["accessLogFormat"], path: string, problems: Problems): Render {
  const options = formatOptions(false, path, problems);
  const onProblem = (message: string): void => problems.invalid(path, message);
  switch (format.case) {
    case "format":
      return compileTextFormat(format.value || envoyDefault, options, onProblem);
    case "jsonFormat":
    case "typedJsonFormat":
      return compileJsonFormat(format.value, options, onProblem);
    case "logFormat":
      return decodeSubstitution(format.value, path, problems);
    case undefined:
      return compileTextFormat(envoyDefault, options, onProblem);
  }
}

function formatOptions(omitEmptyValues: boolean, path: string, problems: Problems): FormatOptions {
  return {
    omitEmptyValues,
    onValueless: (operator) => problems.leftOut(path, `the value of %${operator}%`),
    compileExpression: (text) => compileLogExpression(text, path, problems),
  };
}

export function decodeSubstitution(format: SubstitutionFormatString, path: string, problems: Problems): Render {
  const options = formatOptions(format.omitEmptyValues, path, problems);
  const onProblem = (message: string): void => problems.invalid(path, message);
  switch (format.format.case) {
    case "jsonFormat":
      return compileJsonFormat(format.format.value, options, onProblem);
    case "textFormat":
      return compileTextFormat(format.format.value, options, onProblem);
    case "textFormatSource": {
      const text = inlineText(format.format.value);
      if (text === undefined) onProblem("the format must be given inline");
      return compileTextFormat(text ?? "", options, onProblem);
    }
    case undefined:
      onProblem("names no format");
      return () => "";
  }
}

/** Envoy's own default, for loggers that name no format. */
const envoyDefault =
  '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% ' +
  '%BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" ' +
  '"%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%"\n';
