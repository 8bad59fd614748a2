// Routes that are answered here: direct responses and redirects.

import type { Headers } from "#wire/http/headers.ts";
import type { RedirectAction, RouteAction } from "../../../config/http.ts";
import { redirectLocation } from "../../../decide/redirect.ts";
import type { RouteDecision } from "../../../decide/route.ts";
import type { LocalReply } from "../../local-replies.ts";
import type { Stream } from "../../stream.ts";
import { mutateResponseHeaders } from "./route-headers.ts";

type DirectResponse = Extract<RouteAction, { readonly type: "direct_response" }>;

export function sendDirectResponse(stream: Stream, decision: RouteDecision, action: DirectResponse): void {
  const { status, body, bytes } = action;
  const { note } = decision.virtualHost.provenance;
  const cause = `route "${decision.route.name}" answers ${status} itself${note === "" ? "" : `: ${note}`}`;
  const reply: LocalReply = { status, flag: "", details: "direct_response", body, isConfigured: true };
  send(stream, decision, bytes === undefined ? reply : { ...reply, bytes }, cause, () => {});
}

export function sendRedirect(stream: Stream, decision: RouteDecision, redirect: RedirectAction): void {
  const { name, match } = decision.route;
  const location = redirectLocation(stream, redirect, "value" in match.path ? match.path.value : "");
  const reply: LocalReply = {
    status: redirect.status,
    flag: "",
    details: "direct_response",
    body: "",
    isConfigured: true,
  };
  send(stream, decision, reply, `route "${name}" redirects`, (headers) => headers.add("location", location));
}

function send(
  stream: Stream,
  { route, virtualHost }: RouteDecision,
  reply: LocalReply,
  cause: string,
  addHeaders: (headers: Headers) => void,
): void {
  const own = route.provenance.origins;
  stream.sendLocalReply(reply, cause, own.length > 0 ? own : virtualHost.provenance.origins, (headers) => {
    addHeaders(headers);
    mutateResponseHeaders(stream, headers);
  });
}
