// Access log entries as the messages that services take: Envoy's HTTPAccessLogEntry and TCPAccessLogEntry, and
// OpenTelemetry's LogRecord.
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type Address, AddressSchema } from "#wire/gen/envoy/config/core/v3/address_pb.ts";
import { RequestMethod } from "#wire/gen/envoy/config/core/v3/base_pb.ts";
import {
  type AccessLogCommonSchema,
  AccessLogType,
  type HTTPAccessLogEntry,
  HTTPAccessLogEntrySchema,
  HTTPAccessLogEntry_HTTPVersion as HttpVersion,
  type ResponseFlagsSchema,
  type TCPAccessLogEntry,
  TCPAccessLogEntrySchema,
  TLSProperties_TLSVersion as TlsVersion,
} from "#wire/gen/envoy/data/accesslog/v3/accesslog_pb.ts";
import type { AccessLogEntry, LogMoment } from "../../config/access-log.ts";

/** Names of headers that entries have beside the usual ones, in lower case. */
export interface LoggedHeaders {
  readonly request: readonly string[];
  readonly response: readonly string[];
  readonly trailers: readonly string[];
}

export function httpLogEntry(entry: AccessLogEntry, headers: LoggedHeaders): HTTPAccessLogEntry {
  const number = (what: "requestHeadersBytes" | "responseHeadersBytes"): bigint => BigInt(entry.detail?.(what) ?? 0);
  const read = entry.requestHeader;
  return create(HTTPAccessLogEntrySchema, {
    commonProperties: commonProperties(entry),
    protocolVersion: versions[entry.protocol ?? ""] ?? HttpVersion.PROTOCOL_UNSPECIFIED,
    request: {
      requestMethod: methods[entry.method ?? ""] ?? RequestMethod.METHOD_UNSPECIFIED,
      scheme: read(":scheme") ?? "",
      authority: entry.authority ?? "",
      path: entry.path ?? "",
      userAgent: read("user-agent") ?? "",
      referer: read("referer") ?? "",
      forwardedFor: read("x-forwarded-for") ?? "",
      requestId: read("x-request-id") ?? "",
      originalPath: read("x-envoy-original-path") ?? "",
      requestHeadersBytes: number("requestHeadersBytes"),
      requestBodyBytes: BigInt(entry.bytesReceived),
      requestHeaders: named(headers.request, read),
    },
    response: {
      ...(entry.responseCode !== 0 && { responseCode: entry.responseCode }),
      responseHeadersBytes: number("responseHeadersBytes"),
      responseBodyBytes: BigInt(entry.bytesSent),
      responseHeaders: named(headers.response, entry.responseHeader),
      responseTrailers: named(headers.trailers, (name) => entry.responseTrailer?.(name)),
      responseCodeDetails: entry.responseCodeDetails ?? "",
    },
  });
}

export function tcpLogEntry(entry: AccessLogEntry): TCPAccessLogEntry {
  return create(TCPAccessLogEntrySchema, {
    commonProperties: commonProperties(entry),
    connectionProperties: { receivedBytes: BigInt(entry.bytesReceived), sentBytes: BigInt(entry.bytesSent) },
  });
}

const versions: Readonly<Record<string, HttpVersion>> = {
  "HTTP/1.0": HttpVersion.HTTP10,
  "HTTP/1.1": HttpVersion.HTTP11,
  "HTTP/2": HttpVersion.HTTP2,
};

const methods: Readonly<Record<string, RequestMethod>> = Object.fromEntries(Object.entries(RequestMethod));

function named(names: readonly string[], read: (name: string) => string | undefined): Record<string, string> {
  return Object.fromEntries(
    names.flatMap((name) => {
      const value = read(name);
      return value === undefined ? [] : [[name, value]];
    }),
  );
}

type Common = MessageInitShape<typeof AccessLogCommonSchema>;

function commonProperties(entry: AccessLogEntry): Common {
  const detail = (what: Parameters<NonNullable<AccessLogEntry["detail"]>>[0]): string =>
    String(entry.detail?.(what) ?? "");
  const since = (what: LogMoment) => {
    const at = entry.moment?.(what);
    return at === undefined ? undefined : durationFromMs(Math.max(0, Math.round(at - entry.startTimeMs)));
  };
  return {
    downstreamRemoteAddress: addressOf(entry.downstreamRemoteAddress),
    downstreamLocalAddress: addressOf(entry.downstreamLocalAddress),
    downstreamDirectRemoteAddress: addressOf(detail("directRemoteAddress") || undefined),
    tlsProperties: tlsProperties(entry, detail("tlsVersion"), detail("peerSubject")),
    startTime: timestampFromMs(Math.round(entry.startTimeMs)),
    duration: durationFromMs(Math.round(entry.durationMs)),
    timeToLastRxByte: since("requestEnd"),
    timeToFirstUpstreamTxByte: since("upstreamStart"),
    timeToLastUpstreamTxByte: since("upstreamRequestEnd"),
    timeToFirstUpstreamRxByte: since("upstreamHead"),
    timeToLastUpstreamRxByte: since("upstreamEnd"),
    timeToFirstDownstreamTxByte: since("responseStart"),
    timeToLastDownstreamTxByte: since("responseEnd"),
    upstreamRemoteAddress: addressOf(entry.upstreamHost),
    upstreamLocalAddress: addressOf(entry.upstreamLocalAddress),
    upstreamCluster: entry.upstreamCluster ?? "",
    responseFlags: responseFlags(entry.responseFlags),
    upstreamTransportFailureReason: entry.upstreamTransportFailureReason ?? "",
    routeName: entry.routeName ?? "",
    upstreamRequestAttemptCount: Number(entry.detail?.("attempts") ?? 0),
    connectionTerminationDetails: entry.connectionTerminationDetails ?? "",
    streamId: detail("streamId"),
    accessLogType: types[detail("type")] ?? AccessLogType.NotSet,
  };
}

const types: Readonly<Record<string, AccessLogType>> = Object.fromEntries(Object.entries(AccessLogType));

function tlsProperties(entry: AccessLogEntry, version: string, subject: string): Common["tlsProperties"] {
  if (version === "") return undefined;
  const sans = (uri: string | undefined) => (uri === undefined ? [] : [{ san: { case: "uri" as const, value: uri } }]);
  return {
    tlsVersion: version === "TLSv1.3" ? TlsVersion.TLSv1_3 : TlsVersion.TLSv1_2,
    tlsSniHostname: entry.requestedServerName ?? "",
    localCertificateProperties: { subjectAltName: sans(entry.localUriSan) },
    peerCertificateProperties: { subjectAltName: sans(entry.peerUriSan), subject },
  };
}

function addressOf(text: string | undefined): Address | undefined {
  const [, host = "", port = ""] = /^\[?(.*?)\]?:(\d+)$/.exec(text ?? "") ?? [];
  if (host !== "") {
    const value = { address: host, portSpecifier: { case: "portValue", value: Number(port) } } as const;
    return create(AddressSchema, { address: { case: "socketAddress", value } });
  }
  return text === undefined || text === ""
    ? undefined
    : create(AddressSchema, { address: { case: "pipe", value: { path: text } } });
}

type Flags = Exclude<MessageInitShape<typeof ResponseFlagsSchema>, { $typeName: string }>;

function responseFlags(text: string): Flags {
  return Object.assign({}, ...text.split(",").map((flag) => flags[flag] ?? {})) as Flags;
}

const flags: Readonly<Record<string, Flags>> = {
  LH: { failedLocalHealthcheck: true },
  UH: { noHealthyUpstream: true },
  UT: { upstreamRequestTimeout: true },
  LR: { localReset: true },
  UR: { upstreamRemoteReset: true },
  UF: { upstreamConnectionFailure: true },
  UC: { upstreamConnectionTermination: true },
  UO: { upstreamOverflow: true },
  NR: { noRouteFound: true },
  DI: { delayInjected: true },
  FI: { faultInjected: true },
  RL: { rateLimited: true },
  UAEX: { unauthorizedDetails: { reason: 1 } },
  RLSE: { rateLimitServiceError: true },
  DC: { downstreamConnectionTermination: true },
  URX: { upstreamRetryLimitExceeded: true },
  SI: { streamIdleTimeout: true },
  IH: { invalidEnvoyRequestHeaders: true },
  DPE: { downstreamProtocolError: true },
  UMSDR: { upstreamMaxStreamDurationReached: true },
  RFCF: { responseFromCacheFilter: true },
  NFCF: { noFilterConfigFound: true },
  DT: { durationTimeout: true },
  UPE: { upstreamProtocolError: true },
  NC: { noClusterFound: true },
  OM: { overloadManager: true },
  DF: { dnsResolutionFailure: true },
  DR: { downstreamRemoteReset: true },
};
