// HOT: per request. envoy.filters.http.csrf: requests that change something must come from a page of the same origin, or
// of one that is allowed beside it. What a browser says of the page is believed: the filter protects browsers' users.
import {
  CsrfPolicySchema,
  type CsrfPolicy as EnvoyCsrfPolicy,
} from "#wire/gen/envoy/extensions/filters/http/csrf/v3/csrf_pb.ts";
import type { Headers } from "#wire/http/headers.ts";
import type { StringMatcher } from "../../../config/matcher.ts";
import { decodeStringMatcher } from "../../../config/parse/matcher.ts";
import { runtimeShare } from "../../../config/parse/values.ts";
import { never, type RuntimeShare } from "../../../config/runtime.ts";
import {
  CONTINUE,
  DONE,
  defineHttpFilter,
  type FilterPlace,
  type HttpFilterType,
  settingsFrom,
  sharedFilter,
} from "../../filter.ts";
import { csrfRefused } from "../../local-replies.ts";

interface CsrfPolicy {
  readonly enabled: RuntimeShare;
  readonly shadowEnabled: RuntimeShare;
  readonly additionalOrigins: readonly StringMatcher[];
}

export const csrf: HttpFilterType = defineHttpFilter<CsrfPolicy, CsrfPolicy>({
  type: "csrf",
  messages: [settingsFrom(CsrfPolicySchema, parse)],
  routeMessages: [settingsFrom(CsrfPolicySchema, parse)],
  configure: (settings, { environment: { loop, runtime, stats }, statPrefix, routeSettings }) => {
    const missing = stats.counter(`${statPrefix}csrf.missing_source_origin`);
    const invalid = stats.counter(`${statPrefix}csrf.request_invalid`);
    const valid = stats.counter(`${statPrefix}csrf.request_valid`);
    return sharedFilter({
      onRequestHeaders: (stream, headers) => {
        if (!changing.has(stream.method)) return CONTINUE;
        const policy = routeSettings(stream) ?? settings;
        const isEnabled = loop.random() < runtime.fraction(policy.enabled);
        if (!isEnabled && loop.random() >= runtime.fraction(policy.shadowEnabled)) return CONTINUE;
        const source = sourceOrigin(headers);
        if (source === "") missing.add();
        const isValid =
          source !== "" &&
          (source === stream.authority.toLowerCase() || policy.additionalOrigins.some((it) => it.matches(source)));
        (isValid ? valid : invalid).add();
        if (isValid || !isEnabled) return CONTINUE;
        const from = source === "" ? "does not say which page it comes from" : `comes from a page of ${source}`;
        const cause = `the request to ${stream.authority} ${from}`;
        stream.sendLocalReply(csrfRefused, cause, stream.decision?.route.provenance.origins ?? []);
        return DONE;
      },
    });
  },
});

const changing: ReadonlySet<string> = new Set(["POST", "PUT", "DELETE", "PATCH"]);

function parse(message: EnvoyCsrfPolicy, { path, problems }: FilterPlace): CsrfPolicy {
  if (message.filterEnabled === undefined) problems.invalid(`${path}.filter_enabled`, "is missing");
  return {
    enabled: runtimeShare(message.filterEnabled, never),
    shadowEnabled: runtimeShare(message.shadowEnabled, never),
    additionalOrigins: message.additionalOrigins.map((it, i) =>
      decodeStringMatcher(it, `${path}.additional_origins[${i}]`, problems),
    ),
  };
}

/** Host and port of the page; empty when nothing tells them. */
function sourceOrigin(headers: Headers): string {
  const origin = hostOf(headers.get("origin"));
  return origin === "" ? hostOf(headers.get("referer")) : origin;
}

function hostOf(url: string | undefined): string {
  return /^[a-z][a-z0-9+.-]*:\/\/([^/?#]+)/i.exec(url ?? "")?.[1]?.toLowerCase() ?? "";
}
