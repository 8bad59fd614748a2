// Changes that a route makes to a request: path and host rewritten, and the location of a redirect.

import { X_ENVOY_ORIGINAL_PATH } from "#wire/http/header-names.ts";
import type { ForwardAction, RedirectAction } from "../../../config/http.ts";
import { rewritePathOnly, rewrittenAuthority, rewrittenPath } from "../../../decide/rewrite.ts";
import type { Stream } from "../../stream.ts";

export function rewriteRequest(stream: Stream, action: ForwardAction): void {
  const before = stream.path;
  stream.path = rewrittenPath(action, before);
  if (stream.path !== before) stream.headers.setId(X_ENVOY_ORIGINAL_PATH, before);
  rewriteAuthority(
    stream,
    action,
    rewrittenAuthority(action, stream.authority, before, (name) => stream.header(name)),
  );
}

/** Gives the request another authority, and tells the upstream the old one where the route says so. */
export function rewriteAuthority(stream: Stream, action: ForwardAction, authority: string): void {
  if (authority === stream.authority) return;
  if (action.appendForwardedHost) stream.headers.add("x-forwarded-host", stream.authority);
  stream.setAuthority(authority);
}

/** The `location` of a redirect for this request. */
export function redirectLocation(stream: Stream, action: RedirectAction, matchedPrefix: string): string {
  const scheme = action.scheme ?? stream.scheme;
  let path = stream.path;
  if (action.path !== null) {
    const query = path.indexOf("?");
    const keepQuery = query >= 0 && !action.stripQuery && !action.path.includes("?");
    path = keepQuery ? action.path + path.slice(query) : action.path;
  } else if (action.prefixRewrite !== null) {
    path = action.prefixRewrite + path.slice(matchedPrefix.length);
  } else if (action.regexRewrite !== null) {
    path = rewritePathOnly(path, action.regexRewrite);
  }
  if (action.stripQuery && action.path === null) path = path.split("?", 1)[0] ?? path;
  return `${scheme}://${redirectHost(stream, action, scheme)}${path}`;
}

function redirectHost(stream: Stream, action: RedirectAction, scheme: string): string {
  const name = action.host ?? stream.authority.replace(/:\d+$/, "");
  if (action.port !== null) {
    const isDefault = (scheme === "http" && action.port === 80) || (scheme === "https" && action.port === 443);
    return isDefault ? name : `${name}:${action.port}`;
  }
  if (action.host !== null) return name;
  const port = /:(\d+)$/.exec(stream.authority)?.[1];
  // A scheme change makes the old port wrong.
  return port === undefined || action.scheme !== null ? name : `${name}:${port}`;
}
