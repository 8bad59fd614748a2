// local_reply_config: what the proxy's own replies are turned into.
import type { SubstitutionFormatString } from "#wire/gen/envoy/config/core/v3/substitution_format_string_pb.ts";
import type {
  LocalReplyConfig as EnvoyLocalReplyConfig,
  ResponseMapper,
} from "#wire/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts";
import { decodeSubstitution } from "./decode-access-log.ts";
import { decodeAccessLogFilter } from "./decode-access-log-filter.ts";
import type { LocalReplyConfig, LocalReplyFormat, LocalReplyMapper } from "./http.ts";
import { decodeHeaderOptions } from "./parse/header-mutations.ts";
import { inlineText } from "./parse/values.ts";
import type { Problems } from "./problems.ts";

export function decodeLocalReply(config: EnvoyLocalReplyConfig, path: string, problems: Problems): LocalReplyConfig {
  return {
    mappers: config.mappers.map((mapper, i) => decodeMapper(mapper, `${path}.mappers[${i}]`, problems)),
    format: decodeFormat(config.bodyFormat, `${path}.body_format`, problems),
  };
}

function decodeMapper(mapper: ResponseMapper, path: string, problems: Problems): LocalReplyMapper {
  if (mapper.filter === undefined) problems.invalid(`${path}.filter`, "is missing");
  const accepts =
    mapper.filter === undefined ? null : decodeAccessLogFilter(mapper.filter, `${path}.filter`, problems, false);
  const status = mapper.statusCode ?? null;
  if (status !== null && (status < 200 || status > 599)) {
    problems.invalid(`${path}.status_code`, `${status} is not the status of a response`);
  }
  const body = mapper.body === undefined ? null : (inlineText(mapper.body) ?? null);
  if (mapper.body !== undefined && body === null) problems.unsupported(`${path}.body`, "a body that is not inline");
  return {
    accepts: accepts ?? (() => true),
    status,
    body,
    headers: decodeHeaderOptions(mapper.headersToAdd, `${path}.headers_to_add`, problems),
    format: decodeFormat(mapper.bodyFormatOverride, `${path}.body_format_override`, problems),
  };
}

function decodeFormat(
  format: SubstitutionFormatString | undefined,
  path: string,
  problems: Problems,
): LocalReplyFormat | null {
  if (format === undefined) return null;
  const isJson = format.format.case === "jsonFormat";
  return {
    contentType: format.contentType || (isJson ? "application/json" : "text/plain"),
    render: decodeSubstitution(format, path, problems),
  };
}
