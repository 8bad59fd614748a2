// Every response that the proxy makes itself, in one table: status, Envoy's response flag, Envoy's response code
// details and the body. The cause in words, with the resource and its place, is added by who sends the reply.
export interface LocalReply {
  readonly status: number;
  /** Envoy's response flag; empty for none. */
  readonly flag: string;
  /** `%RESPONSE_CODE_DETAILS%`. */
  readonly details: string;
  readonly body: string;
  /** Where the client is sent instead. */
  readonly location?: string;
  /** What a gRPC client sees in place of the status that stands for `status`. */
  readonly grpcStatus?: number;
  /** In place of `body`, where it is no text. */
  readonly bytes?: Buffer;
  /** What a route answers by itself is no failure: its body is the user's and is sent as it is. */
  readonly isConfigured?: true;
}

function reply(status: number, flag: string, details: string, body: string): LocalReply {
  return { status, flag, details, body };
}

export const routeNotFound: LocalReply = reply(404, "NR", "route_not_found", "");
export const routeConfigMissing: LocalReply = reply(404, "NR", "route_configuration_not_found", "");
export const clusterNotFound: LocalReply = reply(503, "NC", "cluster_not_found", "");
export const noWeightedCluster: LocalReply = reply(503, "NC", "no_cluster_selected", "");
export const noHealthyUpstream: LocalReply = reply(503, "UH", "no_healthy_upstream", "no healthy upstream");
/** The process has too much to do: see overload/. */
export const overloaded: LocalReply = reply(503, "OM", "overload", "envoy overloaded");
export const dropOverload: LocalReply = reply(503, "DO", "drop_overload", "drop overload");
export const responseTimeout: LocalReply = reply(504, "UT", "response_timeout", "upstream request timeout");
export const perTryTimeout: LocalReply = reply(504, "UT", "upstream_per_try_timeout", "upstream request timeout");
export const perTryIdleTimeout: LocalReply = reply(
  504,
  "UT",
  "upstream_per_try_idle_timeout",
  "upstream request timeout",
);
export const maxStreamDuration: LocalReply = {
  ...reply(408, "DT", "max_duration_timeout", "downstream duration timeout"),
  grpcStatus: 4,
};
export const upstreamMaxStreamDuration: LocalReply = reply(
  504,
  "UMSDR",
  "upstream_max_stream_duration_reached",
  "upstream max stream duration reached",
);
export const streamIdleTimeout: LocalReply = reply(408, "SI", "stream_idle_timeout", "stream timeout");
export const requestTimeout: LocalReply = reply(408, "DT", "request_overall_timeout", "request timeout");
export const requestHeaderTimeout: LocalReply = reply(408, "DT", "request_header_timeout", "request header timeout");
export const missingHost: LocalReply = reply(400, "", "missing_host_header", "");
export const duplicateHost: LocalReply = reply(400, "DPE", "http1.duplicate_host_header", "Bad Request");
export const invalidHost: LocalReply = reply(400, "DPE", "http1.invalid_host_header", "Bad Request");
export const invalidTarget: LocalReply = reply(400, "DPE", "http1.invalid_url", "Bad Request");
export const absolutePathRefused: LocalReply = reply(404, "", "absolute_path_rejected", "");
export const invalidPath: LocalReply = reply(400, "", "path_normalization_failed", "");
export const fragmentInPath: LocalReply = reply(400, "", "path_normalization_failed", "");
export const escapedSlashRefused: LocalReply = reply(400, "", "path_normalization_failed", "");
export const upgradeRefused: LocalReply = reply(403, "", "upgrade_failed", "");

/** The path had escaped slashes: the client shall ask again for what it means. */
export function normalizedRedirect(location: string): LocalReply {
  return { ...reply(307, "", "path_normalization_failed", ""), location };
}

export function underscoreInName(protocol: "http1" | "http2"): LocalReply {
  return reply(400, "DPE", `${protocol}.unexpected_underscore`, "Bad Request");
}

/** No extension could tell the client's address. */
export function undetectedClient(status: number): LocalReply {
  return reply(status, "", "original_ip_detection_failed", "");
}

/** A filter has no settings yet: see ECDS. Envoy gives no details. */
export const filterConfigMissing: LocalReply = reply(500, "NFCF", "", "");

/** A filter that keeps the body was given more than it may keep. */
export const requestBodyTooLarge: LocalReply = reply(413, "", "request_payload_too_large", "Payload Too Large");
export const responseBodyTooLarge: LocalReply = reply(500, "", "response_payload_too_large", "Internal Server Error");
/** A Wasm plugin that is needed can't be used. */
export const wasmFailed: LocalReply = reply(503, "", "wasm_fail_stream", "");
/** A Wasm plugin made a body that does not fit the length that its head has announced. */
export const wasmBodyLength: LocalReply = reply(500, "", "wasm_body_length_mismatch", "");

/** The answer of a Wasm plugin. Envoy writes its details without spaces. */
export function wasmReply(status: number, details: string, body: Buffer, grpcStatus: number): LocalReply {
  const words = details === "" ? "wasm_local_response" : details.replaceAll(/\s/g, "_");
  const plain: LocalReply = { ...reply(status, "", words, body.toString("utf8")), bytes: body, isConfigured: true };
  return grpcStatus < 0 ? plain : { ...plain, grpcStatus };
}

/** The upstream ended the exchange before the response began; `reason` as Envoy writes it. */
export function upstreamReset(
  flag: "UF" | "UC" | "UO" | "UPE" | "UR",
  reason: string,
  transportReason: string,
): LocalReply {
  const inDetails = transportReason === "" ? reason : `${reason}|${transportReason}`;
  const transport = transportReason === "" ? "" : `, transport failure reason: ${transportReason}`;
  return reply(
    flag === "UPE" ? 502 : 503,
    flag,
    `upstream_reset_before_response_started{${inDetails.replaceAll(" ", "_")}}`,
    flag === "UO"
      ? `upstream connect error or disconnect/reset before headers. reset reason: overflow`
      : `upstream connect error or disconnect/reset before headers. reset reason: ${reason}${transport}`,
  );
}

/** An RBAC filter denied; `policy` is its name, or "none". */
export function rbacDenied(policy: string): LocalReply {
  return reply(403, "", `rbac_access_denied_matched_policy[${policy.replaceAll(/\s/g, "_")}]`, "RBAC: access denied");
}

/** A token bucket of the local rate limit is empty. */
export function localRateLimited(status: number, asResourceExhausted: boolean): LocalReply {
  const limited = reply(status, "RL", "local_rate_limited", "local_rate_limited");
  return asResourceExhausted ? { ...limited, grpcStatus: 8 } : limited;
}

export const requestNotDecompressed: LocalReply = reply(
  400,
  "",
  "decompression_failed",
  "the body cannot be decompressed",
);
export const responseNotDecompressed: LocalReply = reply(
  502,
  "UPE",
  "decompression_failed",
  "the upstream's body cannot be decompressed",
);

export const badGrpcWebRequest: LocalReply = reply(
  400,
  "",
  "grpc_base_64_decode_failed",
  "Bad gRPC-web request, invalid base64 data.",
);

/** The rate limit service refuses. */
export function rateLimited(status: number, asResourceExhausted: boolean, body: string): LocalReply {
  const limited = reply(status, "RL", "request_rate_limited", body);
  return asResourceExhausted ? { ...limited, grpcStatus: 8 } : limited;
}

/** The rate limit service cannot be asked, and no request may pass without. */
export function rateLimitServiceFailed(status: number): LocalReply {
  return reply(status, "RLSE", "rate_limiter_error", "");
}

/** A request that changes something comes from a page of another origin. */
export const csrfRefused: LocalReply = reply(403, "", "csrf_origin_mismatch", "Invalid origin");

/** The host that a request names has no address; `why` in words. */
export function dnsResolutionFailure(why: string): LocalReply {
  return reply(503, "DF", `dns_resolution_failure{${why.replaceAll(/\s/g, "_")}}`, "DNS resolution failure");
}

/** The DNS cache has no room for another host. */
export const dnsCacheOverflow: LocalReply = reply(503, "", "dns_cache_overflow", "DNS cache overflow");
/** Too many requests wait for lookups. */
export const dnsPendingOverflow: LocalReply = reply(
  503,
  "",
  "dynamic_forward_proxy_pending_request_overflow",
  "Dynamic forward proxy pending request overflow",
);

/** Too few requests succeed. */
export const admissionDenied: LocalReply = reply(503, "", "denied_by_admission_control", "");

/** The health of this proxy, or what the application said of its own. */
export function healthCheckAnswer(status: number): LocalReply {
  const details = status < 300 ? "health_check_ok" : "health_check_failed";
  return { ...reply(status, status < 300 ? "" : "LH", details, ""), isConfigured: true };
}

/** The CORS filter answers a preflight. */
export const corsPreflight: LocalReply = { ...reply(200, "", "cors_response", ""), isConfigured: true };

/** The fault filter aborts. */
export function faultAbort(status: number, grpcStatus: number | null): LocalReply {
  const aborted = reply(status, "FI", "fault_filter_abort", "fault filter abort");
  return grpcStatus === null ? aborted : { ...aborted, grpcStatus };
}

/** The tokens of a request are not good; `why` in Envoy's words. */
export function jwtRefused(status: number, body: string, why: string): LocalReply {
  return reply(status, "", `jwt_authn_access_denied{${why.replaceAll(" ", "_")}}`, body);
}

/** An authorization service refused, in its own words. */
export function authorizationDenied(status: number, body: Buffer): LocalReply {
  return { ...reply(status, "UAEX", "ext_authz_denied", body.toString("utf8")), bytes: body };
}

/** An authorization service could not be asked. */
export function authorizationFailed(status: number): LocalReply {
  return reply(status, "UAEX", "ext_authz_error", "");
}

export const authorizationInvalid: LocalReply = reply(500, "", "ext_authz_invalid", "");

/** The client's message is not valid HTTP. */
export function codecError(status: number, details: string, words: string): LocalReply {
  return reply(status, "DPE", details, `${words}\n`);
}

/** The gRPC status that a gRPC client sees for an HTTP status (gRPC's http-grpc-status-mapping). */
export function grpcStatusOf(httpStatus: number): number {
  switch (httpStatus) {
    case 400:
      return 13;
    case 401:
      return 16;
    case 403:
      return 7;
    case 404:
      return 12;
    case 429:
    case 502:
    case 503:
    case 504:
      return 14;
    default:
      return 2;
  }
}

/** A message as `grpc-message` carries it: percent-encoded UTF-8. */
export function grpcMessage(text: string): string {
  return text.replaceAll(/[^\x20-\x24\x26-\x7e]+/g, (part) =>
    [...Buffer.from(part, "utf8")].map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, "0")}`).join(""),
  );
}

/** Reason phrases for the start line of HTTP/1 responses that are made here. */
export function reasonPhrase(status: number): string {
  return reasons[status] ?? "";
}

const reasons: Readonly<Record<number, string>> = {
  100: "Continue",
  101: "Switching Protocols",
  102: "Processing",
  103: "Early Hints",
  200: "OK",
  201: "Created",
  202: "Accepted",
  203: "Non-Authoritative Information",
  204: "No Content",
  205: "Reset Content",
  206: "Partial Content",
  300: "Multiple Choices",
  301: "Moved Permanently",
  302: "Found",
  303: "See Other",
  304: "Not Modified",
  307: "Temporary Redirect",
  308: "Permanent Redirect",
  400: "Bad Request",
  401: "Unauthorized",
  402: "Payment Required",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  406: "Not Acceptable",
  407: "Proxy Authentication Required",
  408: "Request Timeout",
  409: "Conflict",
  410: "Gone",
  411: "Length Required",
  412: "Precondition Failed",
  413: "Payload Too Large",
  414: "URI Too Long",
  415: "Unsupported Media Type",
  416: "Range Not Satisfiable",
  417: "Expectation Failed",
  418: "I'm a teapot",
  421: "Misdirected Request",
  422: "Unprocessable Content",
  423: "Locked",
  424: "Failed Dependency",
  425: "Too Early",
  426: "Upgrade Required",
  428: "Precondition Required",
  429: "Too Many Requests",
  431: "Request Header Fields Too Large",
  451: "Unavailable For Legal Reasons",
  500: "Internal Server Error",
  501: "Not Implemented",
  502: "Bad Gateway",
  503: "Service Unavailable",
  504: "Gateway Timeout",
  505: "HTTP Version Not Supported",
  507: "Insufficient Storage",
  511: "Network Authentication Required",
};
