// Envoy's command operators over an access log entry: `%REQ(X-A?:PATH):10%` is name, argument, length limit.
// An operator is resolved once to a function; undefined renders as `-`.
import { hostname as readHostname } from "node:os";
import type { AccessLogEntry, LogDetail } from "../../config/access-log.ts";
import { formatStartTime } from "./start-time.ts";

export type Operator = (entry: AccessLogEntry) => string | number | undefined;

/** The operator's function, or why there is none. */
export function findOperator(name: string, argument: string | undefined): Operator | string {
  const simple = simpleOperators[name];
  if (simple !== undefined) return simple;
  const withArgument = argumentOperators[name];
  if (withArgument !== undefined) return withArgument(argument ?? "");
  return `%${name}% is not a known operator`;
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

let ownName: string | undefined;

function hostname(): string {
  ownName ??= readHostname();
  return ownName;
}

const absent: Operator = () => undefined;

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
  DOWNSTREAM_DIRECT_REMOTE_ADDRESS: (entry) => entry.downstreamRemoteAddress,
  DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT: (entry) => withoutPort(entry.downstreamRemoteAddress),
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
  // Known to Envoy, not measured here.
  REQUEST_DURATION: absent,
  RESPONSE_DURATION: absent,
  RESPONSE_TX_DURATION: absent,
  DOWNSTREAM_TLS_CIPHER: absent,
  VIRTUAL_CLUSTER_NAME: absent,
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
  QUERY_PARAM: (name) =>
    name === "" ? "%QUERY_PARAM% names no parameter" : (entry) => queryOf(entry.path)?.get(name) ?? undefined,
  DOWNSTREAM_PEER_CERT_V_END: (format) => {
    const render = formatStartTime(format);
    if (typeof render === "string") return render;
    return (entry) => {
      const at = entry.detail?.("peerNotAfterMs");
      return typeof at === "number" ? render(at) : undefined;
    };
  },
  DYNAMIC_METADATA: dynamicMetadata,
  CLUSTER_METADATA: () => absent,
  UPSTREAM_METADATA: () => absent,
  METADATA: (argument) => (argument.startsWith("DYNAMIC:") ? dynamicMetadata(argument.slice(8)) : absent),
  FILTER_STATE: () => absent,
  UPSTREAM_FILTER_STATE: () => absent,
  ENVIRONMENT: () => absent,
  CEL: () => absent,
};

/** `namespace:key:inner key`; what is not text is written as JSON. */
function dynamicMetadata(argument: string): Operator | string {
  const [namespace = "", ...keys] = argument.split(":");
  if (namespace === "") return `"${argument}" names no metadata`;
  return (entry) => {
    let value = entry.metadata?.(namespace);
    for (const key of keys) {
      if (typeof value !== "object" || value === null || !Object.hasOwn(value, key)) return undefined;
      value = (value as Readonly<Record<string, unknown>>)[key];
    }
    return value === undefined || typeof value === "string" ? value : JSON.stringify(value);
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
