// HOT: per request. One canonical path for routing, authorization and the upstream: dot segments resolved (also when
// percent-encoded), backslashes taken as slashes, slashes merged where asked for. Other escapes stay as they are.
// A path that nothing has to be done for is returned as the same string.

/** The canonical path with its query, or null when the path leaves the root or holds a bad escape of a dot. */
export function normalizePath(target: string, mergeSlashes: boolean): string | null {
  if (!needsWork(target, mergeSlashes)) return target;
  const queryAt = target.indexOf("?");
  const path = queryAt < 0 ? target : target.slice(0, queryAt);
  const query = queryAt < 0 ? "" : target.slice(queryAt);
  const segments = path.replaceAll("\\", "/").replace(/%2e/gi, ".").split("/");
  if (segments[0] !== "") return null;
  const kept: string[] = [];
  for (let i = 1; i < segments.length; i++) {
    const segment = segments[i] as string;
    const isLast = i === segments.length - 1;
    if (segment === ".") {
      if (isLast) kept.push("");
    } else if (segment === "..") {
      if (kept.pop() === undefined) return null;
      if (isLast) kept.push("");
    } else if (segment === "" && mergeSlashes && !isLast) {
      continue;
    } else {
      kept.push(segment);
    }
  }
  return `/${kept.join("/")}${query}`;
}

function needsWork(target: string, mergeSlashes: boolean): boolean {
  for (let i = 0; i < target.length; i++) {
    const code = target.charCodeAt(i);
    if (code === 0x3f) return false;
    if (code === 0x5c) return true;
    if (code === 0x2f) {
      const next = target.charCodeAt(i + 1);
      if (next === 0x2e || (next === 0x2f && mergeSlashes)) return true;
    } else if (code === 0x25 && target.charCodeAt(i + 1) === 0x32 && (target.charCodeAt(i + 2) | 32) === 0x65) {
      return true;
    }
  }
  return false;
}

/** Puts slashes in the place of their escapes, in the path and not in the query. */
export function unescapeSlashes(target: string): string {
  if (!target.includes("%")) return target;
  const queryAt = target.indexOf("?");
  const path = queryAt < 0 ? target : target.slice(0, queryAt);
  const query = queryAt < 0 ? "" : target.slice(queryAt);
  return `${path.replace(/%2f/gi, "/").replace(/%5c/gi, "\\")}${query}`;
}

/** Takes scheme and authority off an absolute-form target. Null when the target is not of that form. */
export function splitAbsoluteForm(target: string): { scheme: string; authority: string; path: string } | null {
  const match = /^(https?):\/\/([^/?#]+)([/?#].*)?$/i.exec(target);
  if (match === null) return null;
  const rest = match[3] ?? "/";
  const authority = match[2] as string;
  // User information in a target is a way to disguise the host.
  if (authority.includes("@")) return null;
  return { scheme: (match[1] as string).toLowerCase(), authority, path: rest.startsWith("/") ? rest : `/${rest}` };
}

/** Whether a Host value has the shape `host`, `host:port` or `[v6]:port`, without anything that could split a line. */
export function isValidAuthority(authority: string): boolean {
  if (authority.length === 0 || authority.length > 512) return false;
  for (let i = 0; i < authority.length; i++) {
    const code = authority.charCodeAt(i);
    const isAlphanumeric = (code >= 48 && code <= 57) || (code >= 65 && code <= 90) || (code >= 97 && code <= 122);
    if (!isAlphanumeric && !authoritySymbols.has(code)) return false;
  }
  return true;
}

const authoritySymbols: ReadonlySet<number> = new Set([..."-._~%!$&'()*+;=:[]"].map((char) => char.charCodeAt(0)));
