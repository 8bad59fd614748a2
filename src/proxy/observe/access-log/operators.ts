// Envoy's command operators over an access log entry: `%REQ(X-A?:PATH):10%` is name, argument, length limit.
// An operator is resolved once to a function; undefined renders as `-`.
import { randomUUID } from "node:crypto";
import { hostname as readHostname } from "node:os";
import type { AccessLogEntry, LogDetail, MetadataOwner } from "../../config/access-log.ts";
import { longFlags } from "../../config/flag-names.ts";
import { between, commonDuration } from "./durations.ts";
import { filterState, isUnknownState } from "./filter-state.ts";
import { formatStartTime } from "./start-time.ts";

export type Operator = (entry: AccessLogEntry) => string | number | undefined;

/** What an expression of CEL reads; null after the problem was told. */
export type CompileExpression = (text: string) => ((entry: AccessLogEntry) => unknown) | null;

/** The operator's function, or why there is none. `%CEL()%` is known where expressions can be compiled. */
export function findOperator(
  name: string,
  argument: string | undefined,
  compile?: CompileExpression,
): Operator | string {
  if (name === "CEL" && compile !== undefined) return expression(argument ?? "", compile);
  const simple = simpleOperators[name];
  if (simple !== undefined) return simple;
  const withArgument = argumentOperators[name];
  if (withArgument !== undefined) return withArgument(argument ?? "");
  return `%${name}% is not a known operator`;
}

function expression(text: string, compile: CompileExpression): Operator | string {
  const evaluate = compile(text);
  if (evaluate === null) return `the expression of %CEL(${text})% can't be evaluated`;
  return (entry) => {
    const value = evaluate(entry);
    if (value === undefined || value === null) return undefined;
    if (value instanceof Date) return value.toISOString();
    return typeof value === "object" ? JSON.stringify(value) : String(value as string | number | bigint | boolean);
  };
}

/** The operator cut to a length. */
export function limited(operator: Operator, maxLength: number): Operator {
  return (entry) => {
    const value = operator(entry);
    return value === undefined ? undefined : String(value).slice(0, maxLength);
  };
}

function detail(what: LogDetail): Operator {
  return (entry) => entry.detail?.(what);
}

/** Of the status codes, by number. */
const camelNames: readonly string[] = [
  "OK",
  "Canceled",
  "Unknown",
  "InvalidArgument",
  "DeadlineExceeded",
  "NotFound",
  "AlreadyExists",
  "PermissionDenied",
  "ResourceExhausted",
  "FailedPrecondition",
  "Aborted",
  "OutOfRange",
  "Unimplemented",
  "Internal",
  "Unavailable",
  "DataLoss",
  "Unauthenticated",
];
const snakeNames: readonly string[] = camelNames.map((name) =>
  name === "OK" ? name : name === "Canceled" ? "CANCELLED" : name.replaceAll(/(?<=[a-z])(?=[A-Z])/g, "_").toUpperCase(),
);
/** Null writes numbers. */
const grpcNames: Readonly<Record<string, readonly string[] | null>> = {
  "": camelNames,
  CAMEL_STRING: camelNames,
  SNAKE_STRING: snakeNames,
  NUMBER: null,
};

function grpcStatus(entry: AccessLogEntry): number | undefined {
  const status =
    entry.detail?.("grpcStatus") ?? entry.responseTrailer?.("grpc-status") ?? entry.responseHeader("grpc-status");
  return status === undefined || !/^\d{1,9}$/.test(String(status)) ? undefined : Number(status);
}

function queryOf(path: string | undefined): URLSearchParams | undefined {
  const mark = path?.indexOf("?") ?? -1;
  return mark === -1 ? undefined : new URLSearchParams(path?.slice(mark + 1).split("#")[0]);
}

/** Who holds the other end of the socket, whatever a PROXY header says. */
function directAddress(entry: AccessLogEntry): string | undefined {
  const address = entry.detail?.("directRemoteAddress");
  return address === undefined ? entry.downstreamRemoteAddress : String(address);
}

let ownName: string | undefined;

function hostname(): string {
  ownName ??= readHostname();
  return ownName;
}

/** Of the proxy's own span; without one of the W3C's header, or of Zipkin's, which are passed on. */
function traceId(entry: AccessLogEntry): string | number | undefined {
  const own = entry.detail?.("traceId");
  if (own !== undefined) return own;
  const parent = /^[\da-f]{2}-([\da-f]{32})-/.exec(entry.requestHeader("traceparent") ?? "");
  return parent?.[1] ?? entry.requestHeader("x-b3-traceid");
}

const absent: Operator = () => undefined;

/** What this proxy does not measure, or does not have. */
const valueless: readonly string[] = [
  "VIRTUAL_CLUSTER_NAME",
  "DOWNSTREAM_TLS_SESSION_ID",
  "UPSTREAM_TLS_SESSION_ID",
  "UPSTREAM_CONNECTION_ID",
  "DOWNSTREAM_HANDSHAKE_DURATION",
  "ROUNDTRIP_DURATION",
  "UPSTREAM_CONNECTION_POOL_READY_DURATION",
  "BYTES_RETRANSMITTED",
  "PACKETS_RETRANSMITTED",
  "DOWNSTREAM_WIRE_BYTES_SENT",
  "DOWNSTREAM_WIRE_BYTES_RECEIVED",
  "DOWNSTREAM_HEADER_BYTES_SENT",
  "DOWNSTREAM_HEADER_BYTES_RECEIVED",
  "UPSTREAM_WIRE_BYTES_SENT",
  "UPSTREAM_WIRE_BYTES_RECEIVED",
  "UPSTREAM_HEADER_BYTES_SENT",
  "UPSTREAM_HEADER_BYTES_RECEIVED",
  "CUSTOM_FLAGS",
];
const ofFilterState: ReadonlySet<string> = new Set(["FILTER_STATE", "UPSTREAM_FILTER_STATE"]);

/** Whether an operator is known and always `-`. */
export function hasNoValue(name: string, argument = ""): boolean {
  return valueless.includes(name) || (ofFilterState.has(name) && isUnknownState(argument));
}

const simpleOperators: Readonly<Record<string, Operator>> = {
  METHOD: (entry) => entry.method,
  PROTOCOL: (entry) => entry.protocol,
  RESPONSE_CODE: (entry) => entry.responseCode,
  RESPONSE_FLAGS: (entry) => entry.responseFlags || undefined,
  RESPONSE_CODE_DETAILS: (entry) => entry.responseCodeDetails,
  CONNECTION_TERMINATION_DETAILS: (entry) => entry.connectionTerminationDetails,
  UPSTREAM_TRANSPORT_FAILURE_REASON: (entry) => entry.upstreamTransportFailureReason,
  BYTES_RECEIVED: (entry) => entry.bytesReceived,
  BYTES_SENT: (entry) => entry.bytesSent,
  DURATION: (entry) => Math.round(entry.durationMs),
  UPSTREAM_HOST: (entry) => entry.upstreamHost,
  UPSTREAM_REMOTE_ADDRESS: (entry) => entry.upstreamHost,
  UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT: (entry) => withoutPort(entry.upstreamHost),
  UPSTREAM_CLUSTER: (entry) => entry.upstreamCluster,
  UPSTREAM_CLUSTER_RAW: (entry) => entry.upstreamCluster,
  UPSTREAM_LOCAL_ADDRESS: (entry) => entry.upstreamLocalAddress,
  UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT: (entry) => withoutPort(entry.upstreamLocalAddress),
  DOWNSTREAM_LOCAL_ADDRESS: (entry) => entry.downstreamLocalAddress,
  DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT: (entry) => withoutPort(entry.downstreamLocalAddress),
  DOWNSTREAM_LOCAL_PORT: (entry) => portOf(entry.downstreamLocalAddress),
  DOWNSTREAM_REMOTE_ADDRESS: (entry) => entry.downstreamRemoteAddress,
  DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT: (entry) => withoutPort(entry.downstreamRemoteAddress),
  DOWNSTREAM_DIRECT_REMOTE_ADDRESS: (entry) => directAddress(entry),
  DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT: (entry) => withoutPort(directAddress(entry)),
  DOWNSTREAM_DIRECT_REMOTE_PORT: (entry) => portOf(directAddress(entry)),
  DOWNSTREAM_PEER_URI_SAN: (entry) => entry.peerUriSan,
  DOWNSTREAM_LOCAL_URI_SAN: (entry) => entry.localUriSan,
  REQUESTED_SERVER_NAME: (entry) => entry.requestedServerName || undefined,
  ROUTE_NAME: (entry) => entry.routeName || undefined,
  DOWNSTREAM_TLS_VERSION: detail("tlsVersion"),
  DOWNSTREAM_PEER_SUBJECT: detail("peerSubject"),
  DOWNSTREAM_PEER_DNS_SAN: detail("peerDnsSan"),
  DOWNSTREAM_PEER_FINGERPRINT_256: detail("peerFingerprint"),
  DOWNSTREAM_PEER_CERT: detail("peerPem"),
  UPSTREAM_PEER_URI_SAN: detail("upstreamPeerUriSan"),
  UPSTREAM_LOCAL_URI_SAN: detail("upstreamLocalUriSan"),
  UPSTREAM_REQUEST_ATTEMPT_COUNT: detail("attempts"),
  CONNECTION_ID: detail("connectionId"),
  FILTER_CHAIN_NAME: detail("filterChain"),
  HOSTNAME: hostname,
  UPSTREAM_REMOTE_PORT: (entry) => portOf(entry.upstreamHost),
  UPSTREAM_LOCAL_PORT: (entry) => portOf(entry.upstreamLocalAddress),
  DOWNSTREAM_REMOTE_PORT: (entry) => portOf(entry.downstreamRemoteAddress),
  GRPC_STATUS_NUMBER: (entry) => grpcStatus(entry),
  LOCAL_REPLY_BODY: (entry) => entry.localReplyBody,
  // Ours: why the proxy answered itself, with resource and file:line.
  OUTRIGGER_CAUSE: (entry) => entry.cause,
  REQUEST_DURATION: between("start", "requestEnd"),
  REQUEST_TX_DURATION: between("start", "upstreamRequestEnd"),
  RESPONSE_DURATION: between("start", "upstreamHead"),
  RESPONSE_TX_DURATION: between("upstreamHead", "responseEnd"),
  RESPONSE_FLAGS_LONG: (entry) => longFlags(entry.responseFlags),
  ACCESS_LOG_TYPE: detail("type"),
  STREAM_ID: detail("streamId"),
  UNIQUE_ID: () => randomUUID(),
  TRACE_ID: traceId,
  SPAN_ID: detail("spanId"),
  REQUEST_HEADERS_BYTES: detail("requestHeadersBytes"),
  RESPONSE_HEADERS_BYTES: detail("responseHeadersBytes"),
  RESPONSE_TRAILERS_BYTES: detail("responseTrailersBytes"),
  DOWNSTREAM_TLS_CIPHER: detail("tlsCipher"),
  DOWNSTREAM_PEER_ISSUER: detail("peerIssuer"),
  DOWNSTREAM_PEER_SERIAL: detail("peerSerial"),
  DOWNSTREAM_PEER_FINGERPRINT_1: detail("peerFingerprintSha1"),
  UPSTREAM_PROTOCOL: detail("upstreamProtocol"),
  UPSTREAM_TLS_CIPHER: detail("upstreamTlsCipher"),
  UPSTREAM_TLS_VERSION: detail("upstreamTlsVersion"),
  UPSTREAM_HOST_NAME: (entry) => entry.detail?.("upstreamHostname") ?? entry.upstreamHost,
  UPSTREAM_HOST_NAME_WITHOUT_PORT: (entry) => entry.detail?.("upstreamHostname") ?? withoutPort(entry.upstreamHost),
  // Known to Envoy, and without a value here.
  ...Object.fromEntries(valueless.map((name) => [name, absent])),
};

const argumentOperators: Readonly<Record<string, (argument: string) => Operator | string>> = {
  START_TIME: (format) => {
    const render = formatStartTime(format);
    return typeof render === "string" ? render : (entry) => render(entry.startTimeMs);
  },
  REQ: requestHeader,
  REQ_WITHOUT_QUERY: (argument) => {
    const read = requestHeader(argument);
    return typeof read === "string" ? read : (entry) => String(read(entry) ?? "").split("?")[0] || undefined;
  },
  RESP: (argument) => {
    const names = headerNames(argument);
    if (typeof names === "string") return names;
    return (entry) => entry.responseHeader(names[0]) ?? (names[1] ? entry.responseHeader(names[1]) : undefined);
  },
  TRAILER: (argument) => {
    const names = headerNames(argument);
    if (typeof names === "string") return names;
    return (entry) => entry.responseTrailer?.(names[0]) ?? (names[1] ? entry.responseTrailer?.(names[1]) : undefined);
  },
  GRPC_STATUS: (argument) => {
    const names = grpcNames[argument];
    if (names === undefined) return `"${argument}" is not CAMEL_STRING, SNAKE_STRING or NUMBER`;
    return (entry) => {
      const status = grpcStatus(entry);
      return status === undefined ? undefined : (names?.[status] ?? String(status));
    };
  },
  EMIT_TIME: (format) => {
    const render = formatStartTime(format);
    return typeof render === "string" ? render : () => render(Date.now());
  },
  COMMON_DURATION: commonDuration,
  ENVIRONMENT: (name) =>
    name === "" ? "%ENVIRONMENT% names no variable" : (entry) => entry.environment?.(name) || undefined,
  PATH: requestPath,
  QUERY_PARAM: (name) =>
    name === "" ? "%QUERY_PARAM% names no parameter" : (entry) => queryOf(entry.path)?.get(name) ?? undefined,
  DOWNSTREAM_PEER_CERT_V_START: certificateTime("peerNotBeforeMs"),
  DOWNSTREAM_PEER_CERT_V_END: certificateTime("peerNotAfterMs"),
  DYNAMIC_METADATA: metadata((entry, namespace) => entry.metadata?.(namespace)),
  CLUSTER_METADATA: configuredMetadata("cluster"),
  UPSTREAM_METADATA: configuredMetadata("endpoint"),
  METADATA: (argument) => {
    const [kind = ""] = argument.split(":", 1);
    const operator =
      argumentOperators[metadataKinds[kind] ?? ""] ?? (kind === "ROUTE" ? configuredMetadata("route") : undefined);
    return operator?.(argument.slice(kind.length + 1)) ?? `"${kind}" is no metadata that is known here`;
  },
  ...Object.fromEntries([...ofFilterState].map((name) => [name, filterState])),
};

const metadataKinds: Readonly<Record<string, string>> = {
  DYNAMIC: "DYNAMIC_METADATA",
  CLUSTER: "CLUSTER_METADATA",
  UPSTREAM_HOST: "UPSTREAM_METADATA",
};

function certificateTime(what: "peerNotBeforeMs" | "peerNotAfterMs"): (format: string) => Operator | string {
  return (format) => {
    const render = formatStartTime(format);
    if (typeof render === "string") return render;
    return (entry) => {
      const at = entry.detail?.(what);
      return typeof at === "number" ? render(at) : undefined;
    };
  };
}

/** `WQ` or `NQ` (with or without query), then whose path: `ORIG`, `PATH` or `ORIG_OR_PATH`. */
function requestPath(argument: string): Operator | string {
  const [query = "", whose = "", ...rest] = argument.split(":");
  if (!["", "WQ", "NQ"].includes(query) || !["", "ORIG", "PATH", "ORIG_OR_PATH"].includes(whose) || rest.length > 0) {
    return `"${argument}" is not QUERY:WHOSE of %PATH%`;
  }
  return (entry) => {
    const path =
      whose === "PATH" ? entry.path : whose === "ORIG" ? entry.originalPath : (entry.originalPath ?? entry.path);
    return query === "NQ" ? path?.split("?")[0] : path;
  };
}

function configuredMetadata(owner: MetadataOwner): (argument: string) => Operator | string {
  return metadata((entry, namespace) => entry.configuredMetadata?.(owner, namespace));
}

/** `namespace:key:inner key`; what is not text is written as JSON. */
function metadata(
  read: (entry: AccessLogEntry, namespace: string) => unknown,
): (argument: string) => Operator | string {
  return (argument) => {
    const [namespace = "", ...keys] = argument.split(":");
    if (namespace === "") return `"${argument}" names no metadata`;
    return (entry) => {
      let value = read(entry, namespace);
      for (const key of keys) {
        if (typeof value !== "object" || value === null || !Object.hasOwn(value, key)) return undefined;
        value = (value as Readonly<Record<string, unknown>>)[key];
      }
      return value === undefined || typeof value === "string" ? value : JSON.stringify(value);
    };
  };
}

function requestHeader(argument: string): Operator | string {
  const names = headerNames(argument);
  if (typeof names === "string") return names;
  const first = requestReader(names[0]);
  const second = names[1] === "" ? absent : requestReader(names[1]);
  return (entry) => first(entry) ?? second(entry);
}

/** Name and alternative in lower case. */
function headerNames(argument: string): readonly [string, string] | string {
  const [name = "", alternative = "", ...rest] = argument.toLowerCase().split("?");
  if (name === "" || rest.length > 0) return `"${argument}" is not a header name with an alternative`;
  return [name, alternative];
}

function requestReader(name: string): Operator {
  switch (name) {
    case ":method":
      return (entry) => entry.method;
    case ":path":
      return (entry) => entry.path;
    case ":authority":
    case "host":
      return (entry) => entry.authority;
    case "x-envoy-original-path":
      return (entry) => entry.originalPath;
    default:
      return (entry) => entry.requestHeader(name);
  }
}

function withoutPort(address: string | undefined): string | undefined {
  const colon = address?.lastIndexOf(":") ?? -1;
  return colon === -1 ? address : address?.slice(0, colon).replace(/^\[|\]$/g, "");
}

function portOf(address: string | undefined): string | undefined {
  return address?.slice(address.lastIndexOf(":") + 1);
}
