// Access log entries of connections: what a listener and a TCP proxy know of one, and the lines written of them.
import type { AccessLogEntry, AccessLogger, LogDetail } from "../config/access-log.ts";
import type { HttpEnvironment } from "../http/environment.ts";
import { writeEntry } from "../http/log-services.ts";
import { connectionDetail } from "../transport/connection-details.ts";
import type { ConnectionInfo } from "../transport/connection-info.ts";
import type { SecuredBy } from "../transport/upstream-tls.ts";

/** What an entry says beside the connection itself. */
export interface ConnectionLogFacts {
  readonly receivedBytes: number;
  readonly sentBytes: number;
  readonly upstreamHost?: string | undefined;
  readonly upstreamCluster?: string | undefined;
  readonly upstreamLocalAddress?: string | undefined;
  readonly upstreamFailureReason?: string | undefined;
  /** Of a connection that did not reach its filters. */
  readonly details?: string | undefined;
  /** Envoy's AccessLogType. */
  readonly type?: "TcpUpstreamConnected" | "TcpPeriodic" | "TcpConnectionEnd" | undefined;
  readonly securedBy?: SecuredBy | undefined;
}

export function writeConnectionLog(
  loggers: readonly AccessLogger[],
  environment: Pick<HttpEnvironment, "loop" | "writeAccessLog" | "logServices">,
  info: ConnectionInfo,
  facts: ConnectionLogFacts,
): void {
  if (loggers.length === 0) return;
  try {
    const entry = connectionLogEntry(info, environment.loop.now, facts);
    entry.random = () => environment.loop.random();
    writeEntry(loggers, environment, entry);
  } catch (error) {
    environment.loop.onBroken(error);
  }
}

/** For formats other than those of logs, too. */
export function connectionLogEntry(info: ConnectionInfo, now: number, facts: ConnectionLogFacts): AccessLogEntry {
  return {
    startTimeMs: info.startTimeMs,
    durationMs: Math.round(now - info.startTimeMs),
    method: undefined,
    originalPath: undefined,
    path: undefined,
    authority: undefined,
    protocol: undefined,
    responseCode: 0,
    responseFlags: info.responseFlags || "-",
    responseCodeDetails: facts.details,
    connectionTerminationDetails: info.terminationDetails || undefined,
    upstreamTransportFailureReason: facts.upstreamFailureReason,
    bytesReceived: facts.receivedBytes,
    bytesSent: facts.sentBytes,
    upstreamHost: facts.upstreamHost,
    upstreamCluster: facts.upstreamCluster,
    upstreamLocalAddress: facts.upstreamLocalAddress,
    downstreamLocalAddress: info.destinationAddress,
    downstreamRemoteAddress: info.sourceAddress,
    requestedServerName: info.serverName || undefined,
    routeName: undefined,
    peerUriSan: info.peer?.uriSan,
    localUriSan: info.localUriSan,
    requestHeader: () => undefined,
    responseHeader: () => undefined,
    detail: (what) => connectionLogDetail(info, facts, what),
    metadata: (namespace) => info.metadata?.get(namespace),
    cause: info.cause || undefined,
  };
}

function connectionLogDetail(
  info: ConnectionInfo,
  { securedBy, type }: ConnectionLogFacts,
  what: LogDetail,
): string | number | undefined {
  switch (what) {
    case "type":
      return type ?? "NotSet";
    case "upstreamPeerUriSan":
      return securedBy?.peerUriSan;
    case "upstreamLocalUriSan":
      return securedBy?.localUriSan;
    case "upstreamTlsVersion":
      return securedBy?.tlsVersion || undefined;
    case "upstreamTlsCipher":
      return securedBy?.tlsCipher || undefined;
    default:
      return connectionDetail(info, what);
  }
}
