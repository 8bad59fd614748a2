// HOT: per header. The header names that the proxy itself looks at, as small integers, with a hash table from the bytes
// of a name (in any case) to its integer. Everything else is 0 and is compared by its text.

export const OTHER = 0;
export const HOST = 1;
export const CONTENT_LENGTH = 2;
export const TRANSFER_ENCODING = 3;
export const CONNECTION = 4;
export const KEEP_ALIVE = 5;
export const PROXY_CONNECTION = 6;
export const UPGRADE = 7;
export const TE = 8;
export const TRAILER = 9;
export const EXPECT = 10;
export const DATE = 11;
export const SERVER = 12;
export const X_FORWARDED_FOR = 13;
export const X_FORWARDED_PROTO = 14;
export const X_FORWARDED_CLIENT_CERT = 15;
export const X_REQUEST_ID = 16;
export const X_ENVOY_INTERNAL = 17;
export const X_ENVOY_EXTERNAL_ADDRESS = 18;
export const X_ENVOY_ORIGINAL_PATH = 19;
export const X_ENVOY_ATTEMPT_COUNT = 20;
export const X_ENVOY_UPSTREAM_SERVICE_TIME = 21;
export const X_ENVOY_EXPECTED_RQ_TIMEOUT_MS = 22;
export const X_ENVOY_PEER_METADATA = 23;
export const X_ENVOY_PEER_METADATA_ID = 24;
export const CONTENT_TYPE = 25;
export const USER_AGENT = 26;
export const LOCATION = 27;
export const GRPC_STATUS = 28;
export const X_ENVOY_DECORATOR_OPERATION = 29;
/** Names of the HPACK static table, of gRPC and of tracing stand between these and the next. */
export const AUTHORIZATION = 38;
export const COOKIE = 45;
export const PROXY_AUTHORIZATION = 58;
export const SET_COOKIE = 63;
/** Request headers with which a client would steer the router: stripped from untrusted peers. From here on. */
export const FIRST_ENVOY_CONTROL = 88;
/** A response of one sidecar to another: the application never saw the request. */
export const X_OUTRIGGER_UNDELIVERED = 106;

const names: readonly string[] = [
  "",
  "host",
  "content-length",
  "transfer-encoding",
  "connection",
  "keep-alive",
  "proxy-connection",
  "upgrade",
  "te",
  "trailer",
  "expect",
  "date",
  "server",
  "x-forwarded-for",
  "x-forwarded-proto",
  "x-forwarded-client-cert",
  "x-request-id",
  "x-envoy-internal",
  "x-envoy-external-address",
  "x-envoy-original-path",
  "x-envoy-attempt-count",
  "x-envoy-upstream-service-time",
  "x-envoy-expected-rq-timeout-ms",
  "x-envoy-peer-metadata",
  "x-envoy-peer-metadata-id",
  "content-type",
  "user-agent",
  "location",
  "grpc-status",
  "x-envoy-decorator-operation",
  "accept",
  "accept-charset",
  "accept-encoding",
  "accept-language",
  "accept-ranges",
  "access-control-allow-origin",
  "age",
  "allow",
  "authorization",
  "cache-control",
  "content-disposition",
  "content-encoding",
  "content-language",
  "content-location",
  "content-range",
  "cookie",
  "etag",
  "expires",
  "from",
  "if-match",
  "if-modified-since",
  "if-none-match",
  "if-range",
  "if-unmodified-since",
  "last-modified",
  "link",
  "max-forwards",
  "proxy-authenticate",
  "proxy-authorization",
  "range",
  "referer",
  "refresh",
  "retry-after",
  "set-cookie",
  "strict-transport-security",
  "vary",
  "via",
  "www-authenticate",
  "origin",
  "x-forwarded-host",
  "grpc-timeout",
  "grpc-encoding",
  "grpc-accept-encoding",
  "grpc-message",
  "grpc-status-details-bin",
  "traceparent",
  "tracestate",
  "baggage",
  "b3",
  "x-b3-traceid",
  "x-b3-spanid",
  "x-b3-parentspanid",
  "x-b3-sampled",
  "x-b3-flags",
  "x-datadog-trace-id",
  "x-datadog-parent-id",
  "x-datadog-sampling-priority",
  "x-cloud-trace-context",
  "x-envoy-downstream-service-cluster",
  "x-envoy-downstream-service-node",
  "x-envoy-force-trace",
  "x-envoy-hedge-on-per-try-timeout",
  "x-envoy-ip-tags",
  "x-envoy-is-timeout-retry",
  "x-envoy-max-retries",
  "x-envoy-original-url",
  "x-envoy-original-host",
  "x-envoy-retriable-header-names",
  "x-envoy-retriable-status-codes",
  "x-envoy-retry-grpc-on",
  "x-envoy-retry-on",
  "x-envoy-upstream-alt-stat-name",
  "x-envoy-upstream-rq-per-try-timeout-ms",
  "x-envoy-upstream-rq-timeout-alt-response",
  "x-envoy-upstream-rq-timeout-ms",
  "x-envoy-upstream-stream-duration-ms",
  "x-outrigger-undelivered",
];

const idByName: ReadonlyMap<string, number> = new Map(names.map((name, id) => [name, id] as const).slice(1));

/** Lower case of a name byte, or 0 where the byte may not stand in a header name (RFC 9110 token). */
export const tokenLower: Uint8Array = buildTokenTable();

function buildTokenTable(): Uint8Array {
  const table = new Uint8Array(256);
  for (const char of "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")
    table[char.charCodeAt(0)] = char.charCodeAt(0);
  for (let byte = 65; byte <= 90; byte++) table[byte] = byte + 32;
  return table;
}

const tableSize = 512;
const hashTable: Uint8Array = buildHashTable();

function buildHashTable(): Uint8Array {
  const table = new Uint8Array(tableSize);
  for (let id = 1; id < names.length; id++) {
    const name = names[id] as string;
    let hash = 0;
    for (let i = 0; i < name.length; i++) hash = (Math.imul(hash, 31) + name.charCodeAt(i)) | 0;
    let slot = hash & (tableSize - 1);
    while (table[slot] !== 0) slot = (slot + 1) & (tableSize - 1);
    table[slot] = id;
  }
  return table;
}

/** Finds the id of the name in `bytes[start, end)`; `hash` is Σ lower(byte)·31ⁿ as the head parser computes it. */
export function idOfBytes(bytes: Uint8Array, start: number, end: number, hash: number): number {
  let slot = hash & (tableSize - 1);
  for (let id = hashTable[slot]!; id !== 0; id = hashTable[slot]!) {
    if (equalsName(bytes, start, end, names[id]!)) return id;
    slot = (slot + 1) & (tableSize - 1);
  }
  return OTHER;
}

function equalsName(bytes: Uint8Array, start: number, end: number, name: string): boolean {
  if (end - start !== name.length) return false;
  for (let i = 0; i < name.length; i++) if (tokenLower[bytes[start + i]!] !== name.charCodeAt(i)) return false;
  return true;
}

/** Finds the id of a name in lower case. */
export function idOfName(lowerName: string): number {
  return idByName.get(lowerName) ?? OTHER;
}

export function nameOfId(id: number): string {
  return names[id] ?? "";
}
