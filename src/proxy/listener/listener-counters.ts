// What a listener counts, in plain numbers: there are hundreds of listeners, and few count much.
import type { Histogram } from "../stats/histogram.ts";

export interface ListenerCounters {
  connectionsTotal: number;
  /** Connections that a limit of their number refused. */
  overflows: number;
  globalOverflows: number;
  /** Refused because too much of something was in progress. */
  overloadRejects: number;
  filterTimeouts: number;
  /** The client ended while its first bytes were waited for. */
  remoteCloses: number;
  noFilterChainMatches: number;
  tlsHandshakes: number;
  tlsErrors: number;
  tlsSessionsReused: number;
  /** Handshakes of clients without a certificate. */
  tlsWithoutCertificate: number;
  /** Why certificates were refused: there was none, it is not trusted, its names, its hash. */
  tlsNoCertificate: number;
  tlsUntrusted: number;
  tlsWrongName: number;
  tlsNotPinned: number;
  /** How long connections were open, in milliseconds; null before the first ended. */
  connectionTimes: Histogram | null;
}

export function listenerCounters(): ListenerCounters {
  return {
    connectionsTotal: 0,
    overflows: 0,
    globalOverflows: 0,
    overloadRejects: 0,
    filterTimeouts: 0,
    remoteCloses: 0,
    noFilterChainMatches: 0,
    tlsHandshakes: 0,
    tlsErrors: 0,
    tlsSessionsReused: 0,
    tlsWithoutCertificate: 0,
    tlsNoCertificate: 0,
    tlsUntrusted: 0,
    tlsWrongName: 0,
    tlsNotPinned: 0,
    connectionTimes: null,
  };
}

/** Counts why a handshake failed, by the code that the verification gave. */
export function countTlsFailure(counters: ListenerCounters, code: string): void {
  counters.tlsErrors++;
  if (code === "NO_PEER_CERTIFICATE") counters.tlsNoCertificate++;
  else if (code === "SAN_MISMATCH") counters.tlsWrongName++;
  else if (code === "NOT_PINNED") counters.tlsNotPinned++;
  else if (untrusted.has(code)) counters.tlsUntrusted++;
}

const untrusted: ReadonlySet<string> = new Set(["UNTRUSTED_PEER", "EXPIRED_PEER", "BAD_SAN", "CHAIN_TOO_LONG"]);
