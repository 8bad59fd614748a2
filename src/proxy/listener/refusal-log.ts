// The listener's own access log: connections that never reached a filter chain (Envoy's flag NR), or failed in TLS.
import type { AccessLogEntry, AccessLogger } from "../config/access-log.ts";
import type { ConnectionInfo } from "../transport/connection-info.ts";
import type { ListenerEnvironment } from "./environment.ts";

export function accessLogEntryOfRefusal(
  loggers: readonly AccessLogger[],
  info: ConnectionInfo,
  cause: string,
  environment: ListenerEnvironment,
  transportReason?: string,
): void {
  if (loggers.length === 0) return;
  const entry: AccessLogEntry = {
    startTimeMs: info.startTimeMs,
    durationMs: Math.round(environment.loop.now - info.startTimeMs),
    method: undefined,
    originalPath: undefined,
    path: undefined,
    authority: undefined,
    protocol: undefined,
    responseCode: 0,
    responseFlags: transportReason === undefined ? "NR" : "-",
    responseCodeDetails: transportReason === undefined ? "filter_chain_not_found" : undefined,
    connectionTerminationDetails: undefined,
    upstreamTransportFailureReason: undefined,
    bytesReceived: 0,
    bytesSent: 0,
    upstreamHost: undefined,
    upstreamCluster: undefined,
    upstreamLocalAddress: undefined,
    downstreamLocalAddress: info.destinationAddress,
    downstreamRemoteAddress: info.sourceAddress,
    requestedServerName: info.serverName || undefined,
    routeName: undefined,
    peerUriSan: info.peer?.uriSan,
    localUriSan: info.localUriSan,
    requestHeader: () => undefined,
    responseHeader: () => undefined,
    cause,
  };
  try {
    for (const logger of loggers) {
      if (logger.accepts === null || logger.accepts(entry))
        environment.writeAccessLog(logger.path, logger.render(entry));
    }
  } catch (error) {
    environment.loop.onBroken(error);
  }
}
