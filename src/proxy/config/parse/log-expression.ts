// A CEL expression over a request or connection that is over, as access log filters and %CEL()% have it. Envoy's
// attributes; only those that the expression names are looked up. As in Envoy, an expression that reads what is not
// there has no value.
// https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/advanced/attributes
import { ownEntry } from "#base/own-entry.ts";
import type { AccessLogEntry, LogDetail, LogMoment } from "../access-log.ts";
import { flagBits } from "../flag-names.ts";
import type { Problems } from "../problems.ts";
import { celDuration, compileLenientExpression } from "./cel-expression.ts";
import type { AttributePath } from "./cel-text.ts";

export type LogExpression = (entry: AccessLogEntry) => unknown;

/** Null after a problem. An attribute that this proxy does not have is told, and never there. */
export function compileLogExpression(text: string, path: string, problems: Problems): LogExpression | null {
  const expression = compileLenientExpression(text, path, problems);
  if (expression === null) return null;
  const { attributes, evaluate } = expression;
  const readers = attributes.flatMap((attribute) => {
    const reader = readerOf(attribute);
    if (reader === null) problems.leftOut(path, `the CEL attribute ${attribute.join(".")}`);
    return reader ?? [];
  });
  return (entry) => {
    const values: Values = {};
    for (const { at, read } of readers) put(values, at, read(entry));
    return evaluate(values);
  };
}

interface Values {
  [name: string]: unknown;
}

interface Reader {
  /** Where the value stands. */
  readonly at: AttributePath;
  readonly read: (entry: AccessLogEntry) => unknown;
}

function put(values: Values, at: AttributePath, value: unknown): void {
  let parent = values;
  for (const name of at.slice(0, -1)) {
    if (!Object.hasOwn(parent, name)) define(parent, name, {});
    parent = parent[name] as Values;
  }
  if (value !== undefined) define(parent, at.at(-1) ?? "", value);
}

/** Names come from the expression: `__proto__` is a name as any other. */
function define(values: Values, name: string, value: unknown): void {
  Object.defineProperty(values, name, { value, enumerable: true, configurable: true, writable: true });
}

function readerOf(path: AttributePath): Reader | null {
  const [root = "", field = "", key] = path;
  const name = `${root}.${field}`;
  const map = ownEntry(maps, name);
  if (map !== undefined) return key === undefined ? null : { at: [root, field, key], read: (entry) => map(entry, key) };
  const read = ownEntry(attributes, name);
  return read === undefined ? null : { at: [root, field], read };
}

const maps: Readonly<Record<string, (entry: AccessLogEntry, key: string) => unknown>> = {
  "request.headers": (entry, key) => requestHeader(entry, key.toLowerCase()),
  "response.headers": (entry, key) => entry.responseHeader(key.toLowerCase()),
  "response.trailers": (entry, key) => entry.responseTrailer?.(key.toLowerCase()),
  "metadata.filter_metadata": (entry, key) => entry.metadata?.(key),
};

function requestHeader(entry: AccessLogEntry, name: string): string | undefined {
  return entry.requestHeader(name) || undefined;
}

type Attribute = (entry: AccessLogEntry) => unknown;

const header =
  (name: string): Attribute =>
  (entry) =>
    requestHeader(entry, name);

const detail =
  (what: LogDetail): Attribute =>
  (entry) =>
    entry.detail?.(what);

const count =
  (what: LogDetail): Attribute =>
  (entry) => {
    const value = entry.detail?.(what);
    return typeof value === "number" ? BigInt(value) : undefined;
  };

function between(entry: AccessLogEntry, from: LogMoment, to: LogMoment): unknown {
  const [begin, end] = [entry.moment?.(from), entry.moment?.(to)];
  return begin === undefined || end === undefined ? undefined : celDuration(end - begin);
}

function portOf(address: string | undefined): bigint | undefined {
  const port = /:(\d{1,5})$/.exec(address ?? "")?.[1];
  return port === undefined ? undefined : BigInt(port);
}

const sum = (entry: AccessLogEntry, bytes: number, ...details: readonly LogDetail[]): bigint =>
  BigInt(details.reduce((total, what) => total + Number(entry.detail?.(what) ?? 0), bytes));

const attributes: Readonly<Record<string, Attribute>> = {
  "request.path": ({ path }) => path,
  "request.url_path": ({ path }) => path?.split("?", 1)[0],
  "request.query": ({ path }) => {
    const at = path?.indexOf("?") ?? -1;
    return path === undefined ? undefined : at < 0 ? "" : path.slice(at + 1);
  },
  "request.host": ({ authority }) => authority,
  "request.scheme": header(":scheme"),
  "request.method": ({ method }) => method,
  "request.protocol": ({ protocol }) => protocol,
  "request.referer": header("referer"),
  "request.useragent": header("user-agent"),
  "request.id": header("x-request-id"),
  "request.time": ({ startTimeMs }) => new Date(startTimeMs),
  "request.duration": ({ durationMs }) => celDuration(durationMs),
  "request.size": ({ bytesReceived }) => BigInt(bytesReceived),
  "request.total_size": (entry) => sum(entry, entry.bytesReceived, "requestHeadersBytes"),
  "response.code": ({ responseCode }) => (responseCode === 0 ? undefined : BigInt(responseCode)),
  "response.code_details": ({ responseCodeDetails }) => responseCodeDetails,
  "response.flags": ({ responseFlags }) => flagBits(responseFlags),
  "response.grpc_status": (entry) => {
    const status = entry.detail?.("grpcStatus");
    return status === undefined || !/^\d{1,9}$/.test(String(status)) ? undefined : BigInt(status);
  },
  "response.size": ({ bytesSent }) => BigInt(bytesSent),
  "response.total_size": (entry) => sum(entry, entry.bytesSent, "responseHeadersBytes", "responseTrailersBytes"),
  "response.backend_latency": (entry) => between(entry, "upstreamStart", "upstreamEnd"),
  "source.address": ({ downstreamRemoteAddress }) => downstreamRemoteAddress,
  "source.port": ({ downstreamRemoteAddress }) => portOf(downstreamRemoteAddress),
  "destination.address": ({ downstreamLocalAddress }) => downstreamLocalAddress,
  "destination.port": ({ downstreamLocalAddress }) => portOf(downstreamLocalAddress),
  "connection.id": count("connectionId"),
  "connection.mtls": (entry) => entry.detail?.("mutualTls") === 1,
  "connection.requested_server_name": ({ requestedServerName }) => requestedServerName ?? "",
  "connection.tls_version": detail("tlsVersion"),
  "connection.subject_peer_certificate": detail("peerSubject"),
  "connection.dns_san_peer_certificate": (entry) =>
    String(entry.detail?.("peerDnsSan") ?? "").split(",")[0] || undefined,
  "connection.uri_san_peer_certificate": ({ peerUriSan }) => peerUriSan,
  "connection.uri_san_local_certificate": ({ localUriSan }) => localUriSan,
  "connection.sha256_peer_certificate_digest": detail("peerFingerprint"),
  "connection.termination_details": ({ connectionTerminationDetails }) => connectionTerminationDetails,
  "upstream.address": ({ upstreamHost }) => upstreamHost,
  "upstream.port": ({ upstreamHost }) => portOf(upstreamHost),
  "upstream.local_address": ({ upstreamLocalAddress }) => upstreamLocalAddress,
  "upstream.tls_version": detail("upstreamTlsVersion"),
  "upstream.uri_san_peer_certificate": detail("upstreamPeerUriSan"),
  "upstream.uri_san_local_certificate": detail("upstreamLocalUriSan"),
  "upstream.transport_failure_reason": ({ upstreamTransportFailureReason }) => upstreamTransportFailureReason,
  "upstream.request_attempt_count": count("attempts"),
  "xds.cluster_name": ({ upstreamCluster }) => upstreamCluster,
  "xds.route_name": ({ routeName }) => routeName,
  "xds.filter_chain_name": detail("filterChain"),
};
