// Fills an access log entry from a finished stream.
import type { Headers } from "#wire/http/headers.ts";
import type { AccessLogEntry, LogDetail, LogMoment, MetadataOwner } from "../config/access-log.ts";
import { connectionDetail } from "../transport/connection-details.ts";
import type { Stream } from "./stream.ts";

export function accessLogEntry(stream: Stream): AccessLogEntry {
  const { connection } = stream;
  const { loop, hostEnvironment, observer } = stream.manager.environment;
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
    peer: (side) => observer.peerOf(stream, side),
    detail: (what) => streamDetail(stream, what),
    moment: (what) => {
      const us = momentUs(stream, what);
      return us < 0 ? undefined : stream.startTimeMs + us / 1000;
    },
    configuredMetadata: (owner, namespace) => metadataOf(stream, owner, namespace),
    environment: (name) => hostEnvironment[name],
    share: (share) => stream.share(share),
    random: () => loop.random(),
    cause: stream.cause || undefined,
  };
}

function streamDetail(stream: Stream, what: LogDetail): string | number | undefined {
  switch (what) {
    case "attempts":
      return stream.attemptCount;
    case "spanId":
      return stream.span?.spanId;
    case "traced":
      return stream.span?.sampled === true ? 1 : 0;
    case "traceId":
      return stream.span?.traceId;
    case "healthCheck":
      return stream.isHealthCheck ? 1 : 0;
    case "type":
      return "DownstreamEnd";
    case "streamId":
      return stream.headers.get("x-request-id");
    case "requestHeadersBytes":
      return headBytes(stream.headers) + stream.method.length + stream.path.length + stream.scheme.length + pseudoBytes;
    case "responseHeadersBytes":
      return stream.responseHeaders === null ? 0 : headBytes(stream.responseHeaders) + statusBytes;
    case "responseTrailersBytes":
      return stream.responseTrailers === null ? 0 : headBytes(stream.responseTrailers);
    case "upstreamHostname":
      return stream.endpointConfig?.hostname || undefined;
    case "upstreamProtocol":
      return stream.upstreamExchange?.httpVersion || undefined;
    case "upstreamTlsVersion":
      return stream.upstreamExchange?.securedBy.tlsVersion || undefined;
    case "upstreamTlsCipher":
      return stream.upstreamExchange?.securedBy.tlsCipher || undefined;
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

/** `:method`, `:path` and `:scheme`; `host` stands for `:authority`. */
const pseudoBytes = 19;
/** `:status` and its value. */
const statusBytes = 10;

/** Names and values, as Envoy counts them. */
function headBytes(headers: Headers): number {
  let bytes = 0;
  headers.forEach((name, value) => {
    bytes += name.length + value.length;
  });
  return bytes;
}

function momentUs(stream: Stream, what: LogMoment): number {
  switch (what) {
    case "requestEnd":
      return stream.requestEndUs;
    case "upstreamStart":
      return stream.upstreamStartUs;
    case "upstreamRequestEnd":
      return stream.upstreamRequestEndUs;
    case "upstreamHead":
      return stream.upstreamHeadUs;
    case "upstreamEnd":
      return stream.upstreamEndUs;
    case "responseStart":
      return stream.responseStartUs;
    case "responseEnd":
      return stream.endUs;
  }
}

function metadataOf(stream: Stream, owner: MetadataOwner, namespace: string): unknown {
  switch (owner) {
    case "route":
      return stream.decision?.route.metadata[namespace];
    case "cluster":
      return namespace === "istio" ? { services: stream.clusterConfig?.services } : undefined;
    case "endpoint": {
      const endpoint = stream.endpointConfig;
      if (namespace === "envoy.lb") return endpoint?.metadata ?? undefined;
      return namespace === "envoy.transport_socket_match" ? endpoint?.transportMatch : undefined;
    }
  }
}
