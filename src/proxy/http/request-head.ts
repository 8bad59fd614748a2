// HOT: per request. What the HTTP connection manager does to a request head before routes and filters see it: authority
// and path in one canonical form, hop-by-hop headers off, and what the client says about itself taken or replaced.
import {
  CONNECTION,
  CONTENT_LENGTH,
  CONTENT_TYPE,
  EXPECT,
  HOST,
  idOfName,
  KEEP_ALIVE,
  PROXY_CONNECTION,
  TE,
  TRANSFER_ENCODING,
  UPGRADE,
  X_FORWARDED_CLIENT_CERT,
  X_FORWARDED_FOR,
  X_FORWARDED_PROTO,
  X_REQUEST_ID,
} from "#wire/http/header-names.ts";
import type { Headers } from "#wire/http/headers.ts";
import { CONNECTION_OTHER } from "#wire/http1/head-parser.ts";
import type { HttpConnectionManagerConfig } from "../config/http.ts";
import {
  canonicalPath,
  isRedirectedPath,
  isValidAuthority,
  PathRefusal,
  portOfAuthority,
  splitAbsoluteForm,
  stripHost,
} from "../decide/request-path.ts";
import { setClient } from "./client-identity.ts";
import {
  absolutePathRefused,
  duplicateHost,
  escapedSlashRefused,
  fragmentInPath,
  invalidHost,
  invalidPath,
  invalidTarget,
  type LocalReply,
  missingHost,
  normalizedRedirect,
  underscoreInName,
} from "./local-replies.ts";
import type { Stream } from "./stream.ts";

/** Prepares the head. A reply means that the request is refused. */
export function prepareRequest(stream: Stream, hostCount: number, connectionTokens: number): LocalReply | null {
  const config = stream.manager.config;
  const headers = stream.headers;
  if (config.headersWithUnderscores !== "allow" && !underscoresAreFine(stream)) {
    return underscoreInName(stream.sink.isHttp1 ? "http1" : "http2");
  }
  const refused = setAuthorityAndPath(stream, hostCount);
  if (refused !== null) return refused;
  if ((connectionTokens & CONNECTION_OTHER) !== 0) stream.nominatedNames = headers.getId(CONNECTION) ?? "";
  removeHopByHop(headers, stream.nominatedNames);
  return setClient(stream, config);
}

/** Drops names with underscores, where they are to be dropped; false when they are to be refused and there is one. */
function underscoresAreFine({ headers, manager, sink }: Stream): boolean {
  const counters = sink.isHttp1 ? manager.environment.codecs.http1 : manager.environment.codecs.http2;
  for (let i = 0; i < headers.length; i++) {
    if (headers.isRemoved(i) || !headers.nameAt(i).includes("_")) continue;
    if (manager.config.headersWithUnderscores === "reject") {
      counters.requestsRejectedWithUnderscores++;
      return false;
    }
    counters.droppedHeadersWithUnderscores++;
    headers.removeAt(i);
  }
  return true;
}

function setAuthorityAndPath(stream: Stream, hostCount: number): LocalReply | null {
  const config = stream.manager.config;
  let target = stream.originalPath;
  if (hostCount > 1) return duplicateHost;
  if (hostCount === 0 && stream.minorVersion === 1) return missingHost;
  if (stream.method === "CONNECT") {
    stream.authority = target;
    stream.path = "";
    // RFC 9110 9.3.6: a port is needed.
    return isValidAuthority(target) && portOfAuthority(target) > 0 ? null : invalidHost;
  }
  let authority = stream.headers.getId(HOST) ?? "";
  if (target.charCodeAt(0) !== 0x2f) {
    if (target !== "*" || stream.method !== "OPTIONS") {
      const split = splitAbsoluteForm(target);
      if (split === null) return invalidTarget;
      if (!config.http1.allowAbsoluteUrl) return absolutePathRefused;
      authority = split.authority;
      target = split.path;
      stream.headers.setId(HOST, authority);
    }
  }
  if (authority === "" && hostCount === 0) {
    // HTTP/1.0 without Host: the address that was asked is all there is, where no name was configured.
    authority = config.http1.defaultHost || stream.connection.destinationAddress;
    stream.headers.setId(HOST, authority);
  }
  if (!isValidAuthority(authority)) return authority === "" ? missingHost : invalidHost;
  stream.authority = authority;
  if (config.stripPort !== "never" || config.stripTrailingHostDot) stripAuthority(stream, config);
  return setPath(stream, target, config);
}

function stripAuthority(stream: Stream, config: HttpConnectionManagerConfig): void {
  const { authority } = stream;
  const withPort =
    config.stripPort === "any" ||
    (config.stripPort === "matching" && portOfAuthority(authority) === stream.connection.destinationPort);
  const stripped = stripHost(authority, withPort, config.stripTrailingHostDot);
  if (stripped !== authority) stream.setAuthority(stripped);
}

function setPath(stream: Stream, target: string, config: HttpConnectionManagerConfig): LocalReply | null {
  const path = canonicalPath(target, config.paths);
  if (typeof path === "number") return pathReplies[path];
  stream.path = path;
  if (!isRedirectedPath(target, config.paths)) return null;
  // A gRPC client follows no redirects.
  const isGrpc = stream.headers.getId(CONTENT_TYPE)?.startsWith("application/grpc") === true;
  return isGrpc ? escapedSlashRefused : normalizedRedirect(path);
}

const pathReplies: Readonly<Record<PathRefusal, LocalReply>> = {
  [PathRefusal.Fragment]: fragmentInPath,
  [PathRefusal.EscapedSlash]: escapedSlashRefused,
  [PathRefusal.Invalid]: invalidPath,
};

/** Names that `connection:` may not remove: dropping them would change what the message means or who sent it. */
const protectedFromNomination: ReadonlySet<number> = new Set([
  HOST,
  CONTENT_LENGTH,
  TRANSFER_ENCODING,
  X_FORWARDED_FOR,
  X_FORWARDED_PROTO,
  X_FORWARDED_CLIENT_CERT,
  X_REQUEST_ID,
  EXPECT,
]);

/** Removes what concerns only the connection that the message came over (RFC 9110 7.6.1): `nominated` is its Connection header. */
export function removeHopByHop(headers: Headers, nominated: string): void {
  if (nominated !== "") removeNominated(headers, nominated);
  for (let i = 0; i < headers.length; i++) {
    const id = headers.idAt(i);
    if (id === CONNECTION || id === KEEP_ALIVE || id === PROXY_CONNECTION || id === UPGRADE) headers.removeAt(i);
    else if (id === TE && !headers.isRemoved(i) && headers.valueAt(i) !== "trailers") reduceTe(headers, i);
  }
}

/** Codings are of one connection; that trailers are wanted is told to everybody. */
function reduceTe(headers: Headers, i: number): void {
  const tokens = headers.valueAt(i).toLowerCase().split(",", 32);
  if (tokens.some((token) => token.trim() === "trailers")) headers.setValueAt(i, "trailers");
  else headers.removeAt(i);
}

/** Removes the headers, or trailers, that a Connection header names. */
export function removeNominated(headers: Headers, nominated: string): void {
  const value = nominated.toLowerCase();
  if (value === "close" || value === "keep-alive") return;
  for (const part of value.split(",", 32)) {
    const name = part.trim();
    if (name === "" || protectedFromNomination.has(idOfName(name))) continue;
    if (name === "te" || name === "upgrade" || name === "close" || name === "keep-alive") continue;
    headers.remove(name);
  }
}
