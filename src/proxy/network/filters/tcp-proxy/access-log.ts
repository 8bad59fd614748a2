// The access log of a TCP proxy: one line at the end of a connection, and more when they are asked for.
import type { AccessLogEntry } from "../../../config/access-log.ts";
import type { HttpEnvironment } from "../../../http/environment.ts";
import type { ConnectionInfo } from "../../../transport/connection-info.ts";
import type { NetworkConnection } from "../../connection.ts";
import type { TcpProxySettings } from "./settings.ts";

/** What an entry says beside the connection itself. */
export interface TcpLogFacts {
  readonly receivedBytes: number;
  readonly sentBytes: number;
  readonly upstreamHost: string | undefined;
  readonly upstreamCluster: string | undefined;
  readonly upstreamLocalAddress: string | undefined;
  readonly upstreamFailureReason: string | undefined;
}

export function writeTcpAccessLog(
  settings: TcpProxySettings,
  environment: HttpEnvironment,
  info: ConnectionInfo,
  facts: TcpLogFacts,
): void {
  if (settings.accessLog.length === 0) return;
  try {
    const entry = tcpLogEntry(info, environment.loop.now, facts);
    for (const logger of settings.accessLog) {
      if (logger.accepts === null || logger.accepts(entry)) {
        environment.writeAccessLog(logger.path, logger.render(entry));
      }
    }
  } catch (error) {
    environment.loop.onBroken(error);
  }
}

/** A connection that a filter before the TCP proxy refused. */
export function accessLogOfRefusal(
  { info, transport, environment }: NetworkConnection,
  settings: TcpProxySettings,
): void {
  writeTcpAccessLog(settings, environment, info, {
    receivedBytes: transport.bytesRead,
    sentBytes: transport.bytesWritten,
    upstreamHost: undefined,
    upstreamCluster: undefined,
    upstreamLocalAddress: undefined,
    upstreamFailureReason: undefined,
  });
}

function tcpLogEntry(info: ConnectionInfo, now: number, facts: TcpLogFacts): AccessLogEntry {
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
    responseCodeDetails: undefined,
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
    cause: info.cause || undefined,
  };
}
