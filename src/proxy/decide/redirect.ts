// Where a redirect leads, as Envoy builds it from what is replaced and what stays of the request.
import type { RedirectAction } from "../config/http.ts";
import { rewritePathOnly } from "./rewrite.ts";

export interface RedirectedRequest {
  readonly scheme: string;
  readonly authority: string;
  /** With query. */
  readonly path: string;
}

/** The `location` of a redirect for this request. */
export function redirectLocation(request: RedirectedRequest, action: RedirectAction, matchedPrefix: string): string {
  const scheme = action.scheme ?? request.scheme;
  let path = request.path;
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
  return `${scheme}://${redirectHost(request, action, scheme)}${path}`;
}

function redirectHost(request: RedirectedRequest, action: RedirectAction, scheme: string): string {
  const name = action.host ?? request.authority.replace(/:\d+$/, "");
  if (action.port !== null) {
    const isDefault = (scheme === "http" && action.port === 80) || (scheme === "https" && action.port === 443);
    return isDefault ? name : `${name}:${action.port}`;
  }
  if (action.host !== null) return name;
  const port = /:(\d+)$/.exec(request.authority)?.[1];
  // With another scheme the port that the old one implies is not the new one's.
  const isImplied = scheme !== request.scheme && port === (request.scheme === "https" ? "443" : "80");
  return port === undefined || isImplied ? name : `${name}:${port}`;
}
