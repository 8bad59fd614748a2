// Changes that a route makes to a request: path and host rewritten.

import { X_ENVOY_ORIGINAL_PATH } from "#wire/http/header-names.ts";
import type { ForwardAction } from "../../../config/http.ts";
import { rewrittenAuthority, rewrittenPath } from "../../../decide/rewrite.ts";
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
