// Routes that the proxy answers itself: envoy.config.route.v3.RedirectAction and DirectResponseAction.
import {
  type DirectResponseAction,
  type RedirectAction as EnvoyRedirect,
  RedirectAction_RedirectResponseCode as RedirectCode,
} from "#wire/gen/envoy/config/route/v3/route_components_pb.ts";
import type { RedirectAction, RouteAction } from "./http.ts";
import { decodeRegexRewrite } from "./parse/matcher.ts";
import { inlineText } from "./parse/values.ts";
import type { Problems } from "./problems.ts";

export function decodeRedirect(redirect: EnvoyRedirect, path: string, problems: Problems): RedirectAction {
  const scheme = redirect.schemeRewriteSpecifier;
  const rewrite = redirect.pathRewriteSpecifier;
  return {
    status: redirectStatus[redirect.responseCode] ?? 301,
    scheme: scheme.case === "httpsRedirect" ? (scheme.value ? "https" : null) : scheme.value || null,
    host: redirect.hostRedirect || null,
    port: redirect.portRedirect || null,
    // An empty rewrite leaves the path as it is, and Istio sends one where the user named none.
    path: rewrite.case === "pathRedirect" ? rewrite.value || null : null,
    prefixRewrite: rewrite.case === "prefixRewrite" ? rewrite.value || null : null,
    regexRewrite:
      rewrite.case === "regexRewrite" ? decodeRegexRewrite(rewrite.value, `${path}.regex_rewrite`, problems) : null,
    stripQuery: redirect.stripQuery,
  };
}

const redirectStatus: Readonly<Record<number, number>> = {
  [RedirectCode.MOVED_PERMANENTLY]: 301,
  [RedirectCode.FOUND]: 302,
  [RedirectCode.SEE_OTHER]: 303,
  [RedirectCode.TEMPORARY_REDIRECT]: 307,
  [RedirectCode.PERMANENT_REDIRECT]: 308,
};

export function decodeDirectResponse(action: DirectResponseAction, path: string, problems: Problems): RouteAction {
  if (action.status < 100 || action.status > 599)
    problems.invalid(`${path}.status`, `${action.status} is not a status`);
  if (action.body !== undefined && inlineText(action.body) === undefined) {
    problems.unsupported(`${path}.body`, "a body from a file");
  }
  const reply = { type: "direct_response" as const, status: action.status, body: inlineText(action.body) ?? "" };
  // Bytes stay as they are: they need not be text.
  return action.body?.specifier.case === "inlineBytes"
    ? { ...reply, bytes: Buffer.from(action.body.specifier.value) }
    : reply;
}
