// The one place that turns errors of sockets and of TLS into what the data path speaks of: a kind that decides retries
// and response flags, Envoy's text for `%UPSTREAM_TRANSPORT_FAILURE_REASON%`, and words for people.

export const FailureKind = {
  Refused: 1,
  Timeout: 2,
  Unreachable: 3,
  Reset: 4,
  Closed: 5,
  Tls: 6,
  Local: 7,
} as const;
export type FailureKind = (typeof FailureKind)[keyof typeof FailureKind];

export interface SocketFailure {
  readonly kind: FailureKind;
  /** Node's or OpenSSL's code, as ECONNREFUSED. */
  readonly code: string;
  /** Envoy's wording for access logs; empty where Envoy says nothing. */
  readonly transportReason: string;
  readonly words: string;
}

interface Known {
  readonly kind: FailureKind;
  readonly errno: number;
  readonly words: string;
}

const known: ReadonlyMap<string, Known> = new Map<string, Known>([
  ["ECONNREFUSED", { kind: FailureKind.Refused, errno: 111, words: "connection refused: nothing listens there" }],
  ["ECONNRESET", { kind: FailureKind.Reset, errno: 104, words: "the peer reset the connection" }],
  ["EPIPE", { kind: FailureKind.Reset, errno: 32, words: "the peer had closed the connection" }],
  ["ECONNABORTED", { kind: FailureKind.Reset, errno: 103, words: "the connection was aborted" }],
  ["ETIMEDOUT", { kind: FailureKind.Timeout, errno: 110, words: "no answer from the address" }],
  ["EHOSTUNREACH", { kind: FailureKind.Unreachable, errno: 113, words: "no route to the host" }],
  ["ENETUNREACH", { kind: FailureKind.Unreachable, errno: 101, words: "the network is unreachable" }],
  ["EADDRNOTAVAIL", { kind: FailureKind.Local, errno: 99, words: "the source address can't be used" }],
  ["EADDRINUSE", { kind: FailureKind.Local, errno: 98, words: "no free source port" }],
  ["EMFILE", { kind: FailureKind.Local, errno: 24, words: "this process has too many open files" }],
  ["EACCES", { kind: FailureKind.Local, errno: 13, words: "the system does not allow the connection" }],
]);

export const connectTimeout: SocketFailure = {
  kind: FailureKind.Timeout,
  code: "CONNECT_TIMEOUT",
  transportReason: "connection timeout",
  words: "no connection within the cluster's connect timeout",
};

export const peerClosed: SocketFailure = {
  kind: FailureKind.Closed,
  code: "CLOSED",
  transportReason: "",
  words: "the peer closed the connection",
};

/** A failure of a TLS handshake or of the verification of the peer. `envoyText` is `CERTIFICATE_VERIFY_FAILED` and the like. */
export function tlsFailure(code: string, envoyText: string, words: string): SocketFailure {
  return { kind: FailureKind.Tls, code, transportReason: `TLS_error:|${envoyText}:TLS_error_end`, words };
}

/** Translates what a socket's `error` event carried. */
export function socketFailure(error: unknown): SocketFailure {
  const code = codeOf(error);
  const entry = known.get(code);
  if (entry !== undefined) {
    const transportReason = entry.kind === FailureKind.Reset ? "" : `delayed connect error: ${entry.errno}`;
    return { kind: entry.kind, code, transportReason, words: entry.words };
  }
  const message = error instanceof Error ? error.message : String(error);
  if (code.startsWith("ERR_SSL") || code.startsWith("ERR_TLS") || message.includes("SSL routines")) {
    return tlsFailure(code, reasonOf(error) ?? code, `TLS: ${reasonOf(error) ?? message}`);
  }
  return { kind: FailureKind.Reset, code, transportReason: "", words: message };
}

function codeOf(error: unknown): string {
  if (typeof error === "object" && error !== null && "code" in error && typeof error.code === "string")
    return error.code;
  return "UNKNOWN";
}

/** OpenSSL's reason, as `tlsv1 alert unknown ca`. */
function reasonOf(error: unknown): string | undefined {
  if (typeof error === "object" && error !== null && "reason" in error && typeof error.reason === "string") {
    return error.reason;
  }
  return undefined;
}
