// Runtime shape of an access log: where lines go and how one is rendered. The renderer is compiled from the format
// once; `observe/access-log` owns both.

import type { LogServiceConfig, MakeRecord } from "./log-service.ts";
import type { RuntimeShare } from "./runtime.ts";

export type AccessLogger = FileLogger | ServiceLogger;

interface Logger {
  /** Envoy's access log filter; null logs everything. */
  readonly accepts: ((entry: AccessLogEntry) => boolean) | null;
}

interface FileLogger extends Logger {
  /** `/dev/stdout` or a file. */
  readonly path: string;
  /** Renders one entry with its newline. */
  readonly render: (entry: AccessLogEntry) => string;
}

export interface ServiceLogger extends Logger {
  readonly service: LogServiceConfig;
  readonly record: MakeRecord;
}

/** When something happened, in milliseconds since 1970 with fractions. */
export type LogMoment =
  | "requestEnd"
  | "upstreamStart"
  | "upstreamRequestEnd"
  | "upstreamHead"
  | "upstreamEnd"
  | "responseStart"
  | "responseEnd";

/** Whose configured metadata. */
export type MetadataOwner = "cluster" | "route" | "endpoint";

export type LogDetail =
  | "attempts"
  | "connectionId"
  | "directRemoteAddress"
  | "filterChain"
  | "grpcStatus"
  /** 1 for a request that a health check filter knew. */
  | "healthCheck"
  /** 1 where the peer's certificate was verified. */
  | "mutualTls"
  | "peerDnsSan"
  | "peerFingerprint"
  | "peerFingerprintSha1"
  | "peerIssuer"
  | "peerNotAfterMs"
  | "peerNotBeforeMs"
  | "peerPem"
  | "peerSerial"
  | "peerSubject"
  | "requestHeadersBytes"
  | "responseHeadersBytes"
  | "responseTrailersBytes"
  | "spanId"
  | "streamId"
  | "tlsCipher"
  | "tlsVersion"
  /** 1 for a request of which a span is reported. */
  | "traced"
  | "traceId"
  | "type"
  | "upstreamHostname"
  | "upstreamLocalUriSan"
  | "upstreamPeerUriSan"
  | "upstreamProtocol"
  | "upstreamTlsCipher"
  | "upstreamTlsVersion";

export type PeerSide = "downstream" | "upstream";

/** A workload on the other side, by Istio's names: workload, namespace, cluster, service, revision, app, version. */
export type PeerFields = Readonly<Record<string, string>>;

/** All that a format operator can ask for, for one stream or one connection. Absent values render as `-`. */
export interface AccessLogEntry {
  startTimeMs: number;
  durationMs: number;
  method: string | undefined;
  /** As received, before rewrites. */
  originalPath: string | undefined;
  path: string | undefined;
  authority: string | undefined;
  protocol: string | undefined;
  responseCode: number;
  responseFlags: string;
  responseCodeDetails: string | undefined;
  connectionTerminationDetails: string | undefined;
  upstreamTransportFailureReason: string | undefined;
  bytesReceived: number;
  bytesSent: number;
  upstreamHost: string | undefined;
  upstreamCluster: string | undefined;
  upstreamLocalAddress: string | undefined;
  downstreamLocalAddress: string | undefined;
  downstreamRemoteAddress: string | undefined;
  requestedServerName: string | undefined;
  routeName: string | undefined;
  peerUriSan: string | undefined;
  localUriSan: string | undefined;
  requestHeader: (name: string) => string | undefined;
  responseHeader: (name: string) => string | undefined;
  /** Body of a reply that the proxy makes itself, while it is being made. */
  localReplyBody?: string;
  /** Dynamic metadata by namespace, as JSON. */
  metadata?: (namespace: string) => unknown;
  /** Null where nobody said who it is. */
  peer?: (side: PeerSide) => PeerFields | null;
  /** What few formats ask for, looked up only then. */
  detail?: (what: LogDetail) => string | number | undefined;
  moment?: (what: LogMoment) => number | undefined;
  /** What is configured under a namespace, as JSON. */
  configuredMetadata?: (owner: MetadataOwner, namespace: string) => unknown;
  responseTrailer?: (name: string) => string | undefined;
  /** Of the proxy's process. */
  environment?: (name: string) => string | undefined;
  /** How many are meant, as the runtime says it. */
  share?: (share: RuntimeShare) => number;
  /** From 0 to below 1. */
  random?: () => number;
  /** The cause in words with resource and file:line, for every locally generated response. */
  cause: string | undefined;
}
