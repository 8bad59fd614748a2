// HOT: per request. One canonical path for routing, authorization and the upstream (RFC 3986 6.2.2): escapes of
// unreserved characters decoded, dot segments resolved, backslashes taken as slashes, slashes merged where asked for.
// Other escapes stay as they are. A path that nothing has to be done for is returned as the same string.
import { parseAddress } from "#base/net/address-bytes.ts";
import type { PathConfig } from "../config/http.ts";

const SLASH = 0x2f;
const DOT = 0x2e;
const PERCENT = 0x25;
const BACKSLASH = 0x5c;
const QUESTION = 0x3f;

/** Why a target has no canonical path. */
export const PathRefusal = { Fragment: 0, EscapedSlash: 1, Invalid: 2 } as const;
export type PathRefusal = (typeof PathRefusal)[keyof typeof PathRefusal];

/** The form of a target that routes, policies and the upstream see, as far as a connection manager makes one. */
export function canonicalPath(target: string, config: PathConfig): string | PathRefusal {
  if (target.includes("#")) return PathRefusal.Fragment;
  let path = target;
  if (config.escapedSlashes !== "keep" && hasEscapedSlash(path)) {
    if (config.escapedSlashes === "reject") return PathRefusal.EscapedSlash;
    path = unescapeSlashes(path);
  }
  if (config.normalize && path !== "*") {
    const normal = normalizePath(path);
    if (normal === null) return PathRefusal.Invalid;
    path = normal;
  }
  return config.mergeSlashes ? mergeSlashes(path) : path;
}

/** Whether the client is to ask again with the canonical path. */
export function isRedirectedPath(target: string, { escapedSlashes }: PathConfig): boolean {
  return escapedSlashes === "redirect" && hasEscapedSlash(target);
}

/**
 * The canonical path with its query. Null when the path leaves the root, holds an escaped NUL, or hides a dot segment
 * behind a path parameter (`/..;/`), which some servers resolve and others do not.
 */
export function normalizePath(target: string): string | null {
  if (!needsWork(target)) return target;
  const queryAt = target.indexOf("?");
  const path = decodeUnreserved((queryAt < 0 ? target : target.slice(0, queryAt)).replaceAll("\\", "/"));
  if (path === null) return null;
  const segments = path.split("/");
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
    } else if (segment.startsWith("..;") || segment.startsWith(".;")) {
      return null;
    } else {
      kept.push(segment);
    }
  }
  const query = queryAt < 0 ? "" : target.slice(queryAt);
  return `/${kept.join("/")}${query}`;
}

function needsWork(target: string): boolean {
  for (let i = 0; i < target.length; i++) {
    const code = target.charCodeAt(i);
    if (code === QUESTION) return false;
    if (code === BACKSLASH) return true;
    if (code === SLASH) {
      if (target.charCodeAt(i + 1) === DOT) return true;
    } else if (code === PERCENT) {
      const byte = escapedByte(target, i);
      if (byte === 0 || isUnreserved(byte)) return true;
    }
  }
  return false;
}

/** Decodes escapes of unreserved characters, unless that would complete an escape; null when there is an escaped NUL. */
function decodeUnreserved(path: string): string | null {
  let text = "";
  let copied = 0;
  for (let at = path.indexOf("%"); at >= 0; at = path.indexOf("%", at + 1)) {
    const byte = escapedByte(path, at);
    if (byte === 0) return null;
    if (!isUnreserved(byte)) continue;
    text += path.slice(copied, at);
    copied = at;
    if (/%[0-9a-f]?$/i.test(text) && hexDigit(byte) >= 0) continue;
    text += String.fromCharCode(byte);
    copied = at + 3;
  }
  return text + path.slice(copied);
}

/** The byte of the escape that begins there, or -1 when none does. */
function escapedByte(text: string, at: number): number {
  const high = hexDigit(text.charCodeAt(at + 1));
  const low = hexDigit(text.charCodeAt(at + 2));
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

function hexDigit(code: number): number {
  if (code >= 48 && code <= 57) return code - 48;
  const lower = code | 32;
  return lower >= 97 && lower <= 102 ? lower - 87 : -1;
}

/** RFC 3986 2.3. */
function isUnreserved(code: number): boolean {
  return isAlphanumeric(code) || code === 45 || code === DOT || code === 95 || code === 126;
}

function isAlphanumeric(code: number): boolean {
  return (code >= 48 && code <= 57) || (code >= 65 && code <= 90) || (code >= 97 && code <= 122);
}

/** Puts one slash in the place of several, in the path and not in the query. */
export function mergeSlashes(target: string): string {
  const at = target.indexOf("//");
  if (at < 0) return target;
  const queryAt = target.indexOf("?");
  if (queryAt < 0) return target.replaceAll(/\/{2,}/g, "/");
  if (queryAt < at) return target;
  return target.slice(0, queryAt).replaceAll(/\/{2,}/g, "/") + target.slice(queryAt);
}

/** Whether the path holds an escaped slash or backslash; the query may. */
export function hasEscapedSlash(target: string): boolean {
  for (let at = target.indexOf("%"); at >= 0; at = target.indexOf("%", at + 1)) {
    const byte = escapedByte(target, at);
    if (byte !== SLASH && byte !== BACKSLASH) continue;
    const queryAt = target.indexOf("?");
    return queryAt < 0 || at < queryAt;
  }
  return false;
}

/** Puts slashes in the place of their escapes, in the path and not in the query. */
export function unescapeSlashes(target: string): string {
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

/** Whether a Host value is `host`, `host:port` or `[v6]:port` (RFC 3986 3.2.2), with nothing that could split a line. */
export function isValidAuthority(authority: string): boolean {
  const length = authority.length;
  if (length === 0 || length > 512) return false;
  let hostEnd = length;
  if (authority.charCodeAt(0) === 0x5b) {
    const close = authority.indexOf("]");
    if (close < 0 || !isIpLiteral(authority.slice(1, close))) return false;
    hostEnd = close + 1;
  } else {
    for (let i = 0; i < length; i++) {
      const code = authority.charCodeAt(i);
      if (code === 0x3a) {
        hostEnd = i;
        break;
      }
      if (!isAlphanumeric(code) && !hostSymbols.has(code)) return false;
    }
    if (hostEnd === 0) return false;
  }
  return hostEnd === length || isPort(authority, hostEnd);
}

function isPort(authority: string, colon: number): boolean {
  if (authority.charCodeAt(colon) !== 0x3a) return false;
  if (authority.length - colon > 6) return false;
  for (let i = colon + 1; i < authority.length; i++) {
    const code = authority.charCodeAt(i);
    if (code < 48 || code > 57) return false;
  }
  return Number(authority.slice(colon + 1)) <= 65_535;
}

function isIpLiteral(text: string): boolean {
  // A zone follows the address, escaped (RFC 6874) or not.
  const address = text.split("%", 1)[0] ?? "";
  return address.includes(":") && parseAddress(address) !== null && /^[0-9A-Fa-f:.]+(%[0-9A-Za-z._~%-]+)?$/.test(text);
}

const hostSymbols: ReadonlySet<number> = new Set([..."-._~%!$&'()*+;="].map((char) => char.charCodeAt(0)));

/** Takes the dot off the end of the host, and the port where asked for. */
export function stripHost(authority: string, withPort: boolean, withDot: boolean): string {
  const colon =
    authority.charCodeAt(0) === 0x5b ? authority.indexOf(":", authority.indexOf("]")) : authority.indexOf(":");
  let host = colon < 0 ? authority : authority.slice(0, colon);
  const port = colon < 0 || withPort ? "" : authority.slice(colon);
  if (withDot && host.endsWith(".") && host.length > 1) host = host.slice(0, -1);
  return host + port;
}

/** The port of an authority, or -1. */
export function portOfAuthority(authority: string): number {
  const match = /:(\d{1,5})$/.exec(authority);
  return match === null ? -1 : Number(match[1]);
}
