// HOT: per request. What the HTTP connection manager does to a request head before routes and filters see it: authority
// and path in one canonical form, hop-by-hop headers off, forwarding headers and the request id set, and what only
// proxies may say taken from those who are not trusted to say it.
import { randomUUID } from "node:crypto";
import {
  CONNECTION,
  CONTENT_LENGTH,
  EXPECT,
  FIRST_ENVOY_CONTROL,
  HOST,
  idOfName,
  KEEP_ALIVE,
  PROXY_CONNECTION,
  TE,
  TRANSFER_ENCODING,
  UPGRADE,
  X_ENVOY_EXTERNAL_ADDRESS,
  X_ENVOY_INTERNAL,
  X_ENVOY_ORIGINAL_PATH,
  X_FORWARDED_CLIENT_CERT,
  X_FORWARDED_FOR,
  X_FORWARDED_PROTO,
  X_REQUEST_ID,
} from "#wire/http/header-names.ts";
import type { Headers } from "#wire/http/headers.ts";
import { CONNECTION_OTHER } from "#wire/http1/head-parser.ts";
import type { HttpConnectionManagerConfig } from "../config/http.ts";
import { clientCertificateElement } from "./client-certificate-header.ts";
import {
  duplicateHost,
  fragmentInPath,
  invalidHost,
  invalidPath,
  type LocalReply,
  missingHost,
} from "./local-replies.ts";
import { isValidAuthority, normalizePath, splitAbsoluteForm, unescapeSlashes } from "./request-path.ts";
import type { Stream } from "./stream.ts";

/** Prepares the head. A reply means that the request is refused. */
export function prepareRequest(stream: Stream, hostCount: number, connectionTokens: number): LocalReply | null {
  const config = stream.manager.config;
  const headers = stream.headers;
  const refused = setAuthorityAndPath(stream, hostCount);
  if (refused !== null) return refused;
  removeHopByHop(headers, (connectionTokens & CONNECTION_OTHER) !== 0);
  setForwarding(stream, config);
  setClientCertificate(stream, config);
  if (config.generateRequestId && (isEdge(config) || !headers.hasId(X_REQUEST_ID))) {
    headers.setId(X_REQUEST_ID, randomUUID());
  }
  return null;
}

function setAuthorityAndPath(stream: Stream, hostCount: number): LocalReply | null {
  const config = stream.manager.config;
  let target = stream.originalPath;
  if (hostCount > 1) return duplicateHost;
  if (hostCount === 0 && stream.minorVersion === 1) return missingHost;
  let authority = stream.headers.getId(HOST) ?? "";
  if (stream.method === "CONNECT") {
    stream.authority = target;
    stream.path = "";
    return isValidAuthority(target) ? null : invalidHost;
  }
  if (target.charCodeAt(0) !== 0x2f) {
    const split = splitAbsoluteForm(target);
    if (split !== null) {
      authority = split.authority;
      target = split.path;
      stream.headers.setId(HOST, authority);
    } else if (target !== "*" || stream.method !== "OPTIONS") {
      return invalidPath;
    }
  }
  if (authority === "" && hostCount === 0) {
    // HTTP/1.0 without Host: the address that was asked is all there is.
    authority = stream.connection.destinationAddress;
    stream.headers.setId(HOST, authority);
  }
  if (!isValidAuthority(authority)) return authority === "" ? missingHost : invalidHost;
  stream.authority = authority;
  if (target.includes("#")) return fragmentInPath;
  if (config.unescapeSlashes === true) target = unescapeSlashes(target);
  if (config.normalizePath || config.mergeSlashes) {
    const normal = target === "*" ? target : normalizePath(target, config.mergeSlashes);
    if (normal === null) return invalidPath;
    target = normal;
  }
  stream.path = target;
  return null;
}

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

/** Removes what concerns only the connection that the message came over (RFC 9110 7.6.1). */
export function removeHopByHop(headers: Headers, hasNominations: boolean): void {
  if (hasNominations) removeNominated(headers);
  for (let i = 0; i < headers.length; i++) {
    const id = headers.idAt(i);
    if (id === CONNECTION || id === KEEP_ALIVE || id === PROXY_CONNECTION || id === UPGRADE) headers.removeAt(i);
    else if (id === TE && !headers.isRemoved(i) && headers.valueAt(i).trim().toLowerCase() !== "trailers") {
      headers.removeAt(i);
    }
  }
}

function removeNominated(headers: Headers): void {
  const value = headers.getId(CONNECTION) ?? "";
  for (const part of value.toLowerCase().split(",", 32)) {
    const name = part.trim();
    if (name === "" || protectedFromNomination.has(idOfName(name))) continue;
    if (name === "te" || name === "upgrade" || name === "close" || name === "keep-alive") continue;
    headers.remove(name);
  }
}

/** An edge proxy does not believe its clients. */
function isEdge(config: HttpConnectionManagerConfig): boolean {
  return config.useRemoteAddress;
}

function setForwarding(stream: Stream, config: HttpConnectionManagerConfig): void {
  const headers = stream.headers;
  const connection = stream.connection;
  const scheme = connection.isTls ? "https" : "http";
  headers.removeId(X_ENVOY_INTERNAL);
  if (isEdge(config)) {
    const before = headers.getId(X_FORWARDED_FOR);
    stream.remoteIp = trustedClient(before, connection.sourceIp, config.xffTrustedHops);
    headers.setId(X_FORWARDED_FOR, before === undefined ? connection.sourceIp : `${before},${connection.sourceIp}`);
    if (config.xffTrustedHops === 0 || !headers.hasId(X_FORWARDED_PROTO)) headers.setId(X_FORWARDED_PROTO, scheme);
    headers.removeId(X_ENVOY_ORIGINAL_PATH);
    headers.removeFromId(FIRST_ENVOY_CONTROL);
    headers.setId(X_ENVOY_EXTERNAL_ADDRESS, stream.remoteIp);
  } else {
    const forwardedFor = headers.getId(X_FORWARDED_FOR);
    stream.remoteIp =
      forwardedFor === undefined ? connection.sourceIp : lastAddress(forwardedFor, config.xffTrustedHops);
    if (!headers.hasId(X_FORWARDED_PROTO)) headers.setId(X_FORWARDED_PROTO, scheme);
  }
  stream.scheme = headers.getId(X_FORWARDED_PROTO) === "https" ? "https" : "http";
}

/** With hops of trusted proxies before us, the client is that many entries from the right. */
function trustedClient(forwardedFor: string | undefined, sourceIp: string, trustedHops: number): string {
  if (forwardedFor === undefined || trustedHops === 0) return sourceIp;
  const addresses = forwardedFor.split(",");
  return addresses[addresses.length - trustedHops]?.trim() ?? sourceIp;
}

function lastAddress(forwardedFor: string, trustedHops: number): string {
  if (trustedHops === 0) {
    const comma = forwardedFor.lastIndexOf(",");
    return forwardedFor.slice(comma + 1).trim();
  }
  const addresses = forwardedFor.split(",");
  return (addresses[addresses.length - 1 - trustedHops] ?? addresses[0] ?? "").trim();
}

function setClientCertificate(stream: Stream, config: HttpConnectionManagerConfig): void {
  const headers = stream.headers;
  const mode = config.forwardClientCert;
  if (mode === "always_forward_only") return;
  const connection = stream.connection;
  if (mode === "sanitize" || connection.peer === null) {
    headers.removeId(X_FORWARDED_CLIENT_CERT);
    return;
  }
  if (mode === "forward_only") return;
  let element = stream.codecConnection.clientCertificateElement;
  if (element === undefined) {
    element = clientCertificateElement(connection, config.clientCertDetails) ?? "";
    stream.codecConnection.clientCertificateElement = element;
  }
  const before = mode === "append_forward" ? headers.getId(X_FORWARDED_CLIENT_CERT) : undefined;
  headers.setId(X_FORWARDED_CLIENT_CERT, before === undefined ? element : `${before},${element}`);
}
