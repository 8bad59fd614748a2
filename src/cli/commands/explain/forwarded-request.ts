// The request as the proxy that sends it writes it: rewritten by its route, with the route's headers, and with the
// address of the client.
import type { HeaderMutation } from "#proxy/config/http.ts";
import type { Decision } from "#proxy/decide/decision.ts";
import { rewrittenAuthority, rewrittenPath } from "#proxy/decide/rewrite.ts";
import type { ExplainRequest } from "./question.ts";

export function forwardedRequest(request: ExplainRequest, sent: Decision, clientIp: string): ExplainRequest {
  const manager = sent.chain?.filters.find(({ http }) => http !== null)?.http ?? null;
  if (manager === null || request.application !== "http") return request;
  const headers: Record<string, string> = { ...request.headers };
  if (manager.client.useRemoteAddress && !manager.client.skipXffAppend) {
    const before = headers["x-forwarded-for"];
    headers["x-forwarded-for"] = before === undefined ? clientIp : `${before},${clientIp}`;
  }
  const route = sent.route;
  const action = route?.route.action;
  if (route === null || action?.type !== "forward") return { ...request, headers };
  for (const mutation of [...(route.cluster?.headers.request ?? []), ...route.route.headers.request]) {
    mutate(headers, mutation);
  }
  const { forward } = action;
  return {
    ...request,
    headers,
    path: rewrittenPath(forward, request.path),
    authority: rewrittenAuthority(forward, request.authority, request.path, (name) => headers[name]),
  };
}

/** Values with command operators stay as they are written: what they become depends on the live connection. */
function mutate(headers: Record<string, string>, { name, value, operation }: HeaderMutation): void {
  const lower = name.toLowerCase();
  const before = headers[lower];
  const applies = before === undefined ? operation !== "set_if_exists" : operation !== "add_if_absent";
  if (operation === "remove") delete headers[lower];
  else if (applies) headers[lower] = before !== undefined && operation === "append" ? `${before},${value}` : value;
}
