// HOT: per request. What a route makes of path and authority before the request goes on.
import type { ForwardAction } from "../config/http.ts";

/** The path that the upstream gets, with its query. */
export function rewrittenPath(action: ForwardAction, path: string): string {
  if (action.prefixRewrite !== null) {
    const { matched, replacement } = action.prefixRewrite;
    const rewritten = replacement + path.slice(matched.length);
    return rewritten.startsWith("/") ? rewritten : `/${rewritten}`;
  }
  return action.regexRewrite === null ? path : rewritePathOnly(path, action.regexRewrite);
}

/** The authority that the upstream gets. `endpoint` rewrites need the endpoint that is chosen, and keep it here. */
export function rewrittenAuthority(
  action: ForwardAction,
  authority: string,
  path: string,
  header: (name: string) => string | undefined,
): string {
  const rewrite = action.hostRewrite;
  switch (rewrite?.type) {
    case "literal":
      return rewrite.value;
    case "header":
      return header(rewrite.name) || authority;
    case "path":
      return rewrite.rewrite(path.split("?", 1)[0] ?? "") || authority;
    default:
      return authority;
  }
}

/** Applies a rewrite to the path and leaves the query as it is. */
export function rewritePathOnly(path: string, rewrite: (path: string) => string): string {
  const query = path.indexOf("?");
  return query < 0 ? rewrite(path) : rewrite(path.slice(0, query)) + path.slice(query);
}
