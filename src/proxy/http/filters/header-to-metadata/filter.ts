// envoy.filters.http.header_to_metadata: what headers and cookies say becomes metadata, for the filters and logs behind.
import { ConfigSchema } from "#wire/gen/envoy/extensions/filters/http/header_to_metadata/v3/header_to_metadata_pb.ts";
import type { Headers } from "#wire/http/headers.ts";
import { CONTINUE, defineHttpFilter, type HttpFilterType, settingsFrom, sharedFilter } from "../../filter.ts";
import type { Stream } from "../../stream.ts";
import { type HeaderToMetadataSettings, type MetadataRule, parseHeaderToMetadata } from "./settings.ts";

export const headerToMetadata: HttpFilterType = defineHttpFilter<HeaderToMetadataSettings, HeaderToMetadataSettings>({
  type: "header_to_metadata",
  messages: [settingsFrom(ConfigSchema, parseHeaderToMetadata)],
  routeMessages: [settingsFrom(ConfigSchema, parseHeaderToMetadata)],
  configure: (settings, { routeSettings }) =>
    sharedFilter({
      onRequestHeaders: (stream, headers) => {
        for (const rule of (routeSettings(stream) ?? settings).request) {
          applyRule(rule, stream, headers, rule.header === "" ? undefined : stream.header(rule.header));
        }
        return CONTINUE;
      },
      onResponseHeaders: (stream, headers) => {
        for (const rule of (routeSettings(stream) ?? settings).response) {
          const status = rule.header === ":status" ? String(stream.responseStatus) : undefined;
          applyRule(rule, stream, headers, status ?? headers.get(rule.header));
        }
        return CONTINUE;
      },
    }),
});

/** Longer values are not looked at. */
const maxValueLength = 8 * 1024;

function applyRule(rule: MetadataRule, stream: Stream, headers: Headers, headerValue: string | undefined): void {
  const text = rule.header === "" ? cookieOf(headers, rule.cookie) : headerValue;
  const isPresent = text !== undefined && text !== "";
  const target = isPresent ? rule.whenPresent : rule.whenMissing;
  if (target !== null && (text ?? "").length <= maxValueLength) {
    const value = target.valueOf(text ?? "");
    if (value !== undefined && value !== "") stream.setMetadata(target.namespace, target.key, value);
  }
  if (isPresent && rule.removes && !rule.header.startsWith(":") && rule.header !== "host") headers.remove(rule.header);
}

function cookieOf(headers: Headers, name: string): string | undefined {
  for (const pair of (headers.get("cookie") ?? "").split(/;|,/)) {
    const equals = pair.indexOf("=");
    if (equals > 0 && pair.slice(0, equals).trim() === name) {
      return pair
        .slice(equals + 1)
        .trim()
        .replace(/^"(.*)"$/, "$1");
    }
  }
  return undefined;
}
