// Fills an access log entry from a finished stream.
import type { AccessLogEntry, LogDetail } from "../config/access-log.ts";
import { connectionDetail } from "../transport/connection-details.ts";
import type { Stream } from "./stream.ts";

export function accessLogEntry(stream: Stream): AccessLogEntry {
  const { connection } = stream;
  return {
    startTimeMs: stream.startTimeMs,
    durationMs: Math.round(stream.durationMs),
    method: stream.method || undefined,
    originalPath: stream.originalPath || undefined,
    path: stream.path || undefined,
    authority: stream.authority || undefined,
    protocol: stream.protocol,
    responseCode: stream.responseStatus,
    responseFlags: stream.responseFlags || "-",
    responseCodeDetails: stream.responseDetails || undefined,
    connectionTerminationDetails: undefined,
    upstreamTransportFailureReason: stream.upstreamFailureReason || undefined,
    bytesReceived: stream.requestBytes,
    bytesSent: stream.responseBytes,
    upstreamHost: stream.endpointConfig?.key,
    upstreamCluster: stream.clusterConfig?.name,
    upstreamLocalAddress: stream.upstreamLocalAddress,
    downstreamLocalAddress: connection.destinationAddress,
    downstreamRemoteAddress: connection.sourceAddress,
    requestedServerName: connection.serverName || undefined,
    routeName: stream.routeName || undefined,
    peerUriSan: connection.peer?.uriSan,
    localUriSan: connection.localUriSan,
    requestHeader: (name) => stream.header(name.toLowerCase()),
    responseHeader: (name) => stream.responseHeaders?.get(name.toLowerCase()),
    metadata: (namespace) => stream.metadata(namespace),
    responseTrailer: (name) => stream.responseTrailers?.get(name.toLowerCase()),
    detail: (what) => streamDetail(stream, what),
    cause: stream.cause || undefined,
  };
}

function streamDetail(stream: Stream, what: LogDetail): string | number | undefined {
  switch (what) {
    case "attempts":
      return stream.attemptCount;
    case "grpcStatus":
      return stream.grpcStatus;
    case "upstreamPeerUriSan":
      return stream.upstreamPeerUriSan;
    case "upstreamLocalUriSan":
      return stream.upstreamLocalUriSan;
    default:
      return connectionDetail(stream.connection, what);
  }
}
