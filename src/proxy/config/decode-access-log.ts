// envoy.config.accesslog.v3 to loggers: file sinks with text or JSON formats and the filters that a mesh uses.
import {
  type AccessLog,
  type AccessLogFilter,
  type ComparisonFilter,
  ComparisonFilter_Op,
} from "#wire/gen/envoy/config/accesslog/v3/accesslog_pb.ts";
import type { SubstitutionFormatString } from "#wire/gen/envoy/config/core/v3/substitution_format_string_pb.ts";
import { type FileAccessLog, FileAccessLogSchema } from "#wire/gen/envoy/extensions/access_loggers/file/v3/file_pb.ts";
import { compileJsonFormat, compileTextFormat, type Render, withCause } from "../observe/access-log/format.ts";
import type { AccessLogEntry, AccessLogger } from "./access-log.ts";
import { decodeHeaderMatcher } from "./parse/matcher.ts";
import { inlineText, typeName, unpack } from "./parse/values.ts";
import type { Problems } from "./problems.ts";

export function decodeAccessLogs(logs: readonly AccessLog[], path: string, problems: Problems): AccessLogger[] {
  return logs.flatMap((log, i) => decodeAccessLog(log, `${path}[${i}]`, problems) ?? []);
}

function decodeAccessLog(log: AccessLog, path: string, problems: Problems): AccessLogger | null {
  const any = log.configType.value;
  const type = typeName(any);
  if (any === undefined || type !== FileAccessLogSchema.typeName) {
    problems.leftOut(path, `the access logger ${log.name || type}`);
    return null;
  }
  const file = unpack(any, FileAccessLogSchema, path, problems);
  if (file === null) return null;
  if (file.path === "") problems.invalid(`${path}.path`, "is missing");
  const accepts = log.filter === undefined ? null : decodeAccessLogFilter(log.filter, `${path}.filter`, problems);
  const render = decodeFormat(file.accessLogFormat, `${path}.format`, problems);
  const placesCause = JSON.stringify(file.accessLogFormat.value ?? "", printable).includes("%OUTRIGGER_CAUSE%");
  return { path: file.path, render: placesCause ? render : withCause(render), accepts };
}

/** JSON has no 64-bit integers. */
function printable(_key: string, value: unknown): unknown {
  return typeof value === "bigint" ? String(value) : value;
}

function decodeFormat(format: FileAccessLog["accessLogFormat"], path: string, problems: Problems): Render {
  const options = { omitEmptyValues: false, onValueless: (name: string) => valueless(name, path, problems) };
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

function valueless(operator: string, path: string, problems: Problems): void {
  problems.leftOut(path, `the value of %${operator}%`);
}

export function decodeSubstitution(format: SubstitutionFormatString, path: string, problems: Problems): Render {
  const { omitEmptyValues } = format;
  const options = { omitEmptyValues, onValueless: (name: string) => valueless(name, path, problems) };
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

type Accepts = (entry: AccessLogEntry) => boolean;

/** Null accepts everything. A filter that is not known is left out, or refused where the rest would mean too much. */
export function decodeAccessLogFilter(
  filter: AccessLogFilter,
  path: string,
  problems: Problems,
  mayLeaveOut = true,
): Accepts | null {
  const specifier = filter.filterSpecifier;
  switch (specifier.case) {
    case "responseFlagFilter": {
      const flags = new Set(specifier.value.flags);
      return (entry) =>
        entry.responseFlags !== "" &&
        entry.responseFlags !== "-" &&
        (flags.size === 0 || entry.responseFlags.split(",").some((flag) => flags.has(flag)));
    }
    case "statusCodeFilter": {
      const compare = decodeComparison(specifier.value.comparison);
      return (entry) => compare(entry.responseCode);
    }
    case "durationFilter": {
      const compare = decodeComparison(specifier.value.comparison);
      return (entry) => compare(entry.durationMs);
    }
    case "headerFilter": {
      if (specifier.value.header === undefined) {
        problems.invalid(`${path}.header_filter.header`, "is missing");
        return null;
      }
      const { name, matches } = decodeHeaderMatcher(specifier.value.header, `${path}.header_filter.header`, problems);
      return (entry) => matches(entry.requestHeader(name));
    }
    case "notHealthCheckFilter":
      return null;
    case "andFilter":
    case "orFilter": {
      const tests = specifier.value.filters.map((it, i) =>
        decodeAccessLogFilter(it, `${path}.filters[${i}]`, problems, mayLeaveOut),
      );
      const all = specifier.case === "andFilter";
      return (entry) =>
        all ? tests.every((test) => test?.(entry) ?? true) : tests.some((test) => test?.(entry) ?? true);
    }
    case undefined:
      problems.invalid(path, "names no filter");
      return null;
    default:
      if (mayLeaveOut) problems.leftOut(path, `the access log filter ${specifier.case}`);
      else problems.unsupported(path, `the filter ${specifier.case}`);
      return null;
  }
}

function decodeComparison(comparison: ComparisonFilter | undefined): (value: number) => boolean {
  const limit = comparison?.value?.defaultValue ?? 0;
  switch (comparison?.op) {
    case ComparisonFilter_Op.GE:
      return (value) => value >= limit;
    case ComparisonFilter_Op.LE:
      return (value) => value <= limit;
    default:
      return (value) => value === limit;
  }
}

/** Envoy's own default, for loggers that name no format. */
const envoyDefault =
  '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% ' +
  '%BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" ' +
  '"%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%"\n';
