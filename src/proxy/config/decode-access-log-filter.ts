// envoy.config.accesslog.v3.AccessLogFilter to a test of entries. A comparison's runtime key is not asked: its default
// value counts.
import {
  type AccessLogFilter,
  type ComparisonFilter,
  ComparisonFilter_Op,
  type ExtensionFilter,
  type GrpcStatusFilter,
  type LogTypeFilter,
  type MetadataFilter,
  type RuntimeFilter,
} from "#wire/gen/envoy/config/accesslog/v3/accesslog_pb.ts";
import { AccessLogType } from "#wire/gen/envoy/data/accesslog/v3/accesslog_pb.ts";
import { ExpressionFilterSchema } from "#wire/gen/envoy/extensions/access_loggers/filters/cel/v3/cel_pb.ts";
import { grpcStatusOf } from "../http/local-replies.ts";
import type { AccessLogEntry } from "./access-log.ts";
import { compileLogExpression } from "./parse/log-expression.ts";
import { decodeHeaderMatcher, decodeMetadataMatcher } from "./parse/matcher.ts";
import { denominatorOf, fractionOf, typeName, unpack } from "./parse/values.ts";
import type { Problems } from "./problems.ts";

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
    case "responseFlagFilter":
      return responseFlags(specifier.value.flags);
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
      return (entry) => entry.detail?.("healthCheck") !== 1;
    case "traceableFilter":
      return (entry) => entry.detail?.("traced") === 1;
    case "runtimeFilter":
      return runtimeShare(specifier.value);
    case "grpcStatusFilter":
      return grpcStatus(specifier.value);
    case "metadataFilter":
      return decodeMetadata(specifier.value, `${path}.metadata_filter.matcher`, problems);
    case "logTypeFilter":
      return logType(specifier.value);
    case "extensionFilter":
      return decodeExtension(specifier.value, `${path}.extension_filter`, problems, mayLeaveOut);
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
  }
}

function responseFlags(wanted: readonly string[]): Accepts {
  const flags = new Set(wanted);
  return (entry) =>
    entry.responseFlags !== "" &&
    entry.responseFlags !== "-" &&
    (flags.size === 0 || entry.responseFlags.split(",").some((flag) => flags.has(flag)));
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

/** All proxies on the way of a request decide alike, by its id; without an id, or when asked to, each for itself. */
function runtimeShare({ runtimeKey, percentSampled, useIndependentRandomness }: RuntimeFilter): Accepts {
  const share = { fraction: fractionOf(percentSampled), key: runtimeKey };
  const outOf = denominatorOf(percentSampled);
  return (entry) => {
    const fraction = entry.share?.(share) ?? share.fraction;
    const id = useIndependentRandomness ? undefined : entry.requestHeader("x-request-id");
    const number = id !== undefined && /^[\da-f]{8}/i.test(id) ? Number.parseInt(id.slice(0, 8), 16) : undefined;
    return (number === undefined ? (entry.random?.() ?? Math.random()) : (number % outOf) / outOf) < fraction;
  };
}

/** Of a call that has no status of its own, what stands for HTTP's. */
function grpcStatus({ statuses, exclude }: GrpcStatusFilter): Accepts {
  const wanted = new Set<number>(statuses);
  return (entry) => {
    const told = entry.detail?.("grpcStatus");
    const status = told === undefined ? grpcStatusOf(entry.responseCode) : Number(told);
    return wanted.has(status) !== exclude;
  };
}

function decodeMetadata(filter: MetadataFilter, path: string, problems: Problems): Accepts | null {
  if (filter.matcher === undefined) {
    problems.invalid(path, "is missing");
    return null;
  }
  const test = decodeMetadataMatcher(filter.matcher, path, problems);
  const otherwise = filter.matchIfKeyNotFound ?? true;
  return (entry) => {
    const metadata = entry.metadata?.(test.filter);
    return test.read(metadata) === undefined ? otherwise : test.matches(metadata);
  };
}

function logType({ types, exclude }: LogTypeFilter): Accepts {
  const names = new Map<number, string>(Object.entries(AccessLogType).map(([name, type]) => [type, name]));
  const wanted = new Set(types.map((type) => names.get(type)));
  return (entry) => wanted.has(String(entry.detail?.("type") ?? "NotSet")) !== exclude;
}

function decodeExtension(
  { name, configType }: ExtensionFilter,
  path: string,
  problems: Problems,
  mayLeaveOut: boolean,
): Accepts | null {
  const type = typeName(configType.value);
  if (configType.value === undefined || type !== ExpressionFilterSchema.typeName) {
    const what = `the access log filter ${name || type}`;
    if (mayLeaveOut) problems.leftOut(path, what);
    else problems.unsupported(path, what);
    return null;
  }
  const filter = unpack(configType.value, ExpressionFilterSchema, path, problems);
  const expression = filter === null ? null : compileLogExpression(filter.expression, `${path}.expression`, problems);
  return expression === null ? null : (entry) => expression(entry) === true;
}
