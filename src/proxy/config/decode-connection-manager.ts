// envoy...HttpConnectionManager to its runtime shape, with Envoy's defaults.
import type { Origin } from "#base/issue.ts";
import {
  type Http1ProtocolOptions,
  HttpProtocolOptions_HeadersWithUnderscoresAction as Underscores,
} from "#wire/gen/envoy/config/core/v3/protocol_pb.ts";
import {
  HttpConnectionManager_CodecType as CodecType,
  HttpConnectionManager_PathWithEscapedSlashesAction as EscapedSlashes,
  HttpConnectionManager_ForwardClientCertDetails as ForwardCert,
  type HttpConnectionManager,
  HttpConnectionManager_ServerHeaderTransformation as ServerHeader,
} from "#wire/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts";
import { PreserveCaseFormatterConfigSchema } from "#wire/gen/envoy/extensions/http/header_formatters/preserve_case/v3/preserve_case_pb.ts";
import { UuidRequestIdConfigSchema } from "#wire/gen/envoy/extensions/request_id/uuid/v3/uuid_pb.ts";
import { decodeAccessLogs } from "./decode-access-log.ts";
import { decodeClientAddress } from "./decode-client-address.ts";
import { decodeHttpFilters } from "./decode-http-filters.ts";
import { decodeLocalReply } from "./decode-local-reply.ts";
import { decodeRouteConfig } from "./decode-route.ts";
import { decodeTracing } from "./decode-tracing.ts";
import type { Http1Config, HttpConnectionManagerConfig, PathConfig } from "./http.ts";
import { edgeHttp2, meshHttp2 } from "./http2.ts";
import { decodeHttp2Options } from "./parse/http2-options.ts";
import { milliseconds, typeName } from "./parse/values.ts";
import type { Problems } from "./problems.ts";

export function decodeConnectionManager(
  manager: HttpConnectionManager,
  policyOrigins: ReadonlyMap<string, Origin>,
  path: string,
  problems: Problems,
): HttpConnectionManagerConfig {
  reportUnsupported(manager, path, problems);
  const details = manager.setCurrentClientCertDetails;
  const common = manager.commonHttpProtocolOptions;
  const localReply = manager.localReplyConfig;
  return {
    statPrefix: manager.statPrefix,
    ...decodeRoutes(manager, path, problems),
    httpFilters: decodeHttpFilters(manager.httpFilters, policyOrigins, `${path}.http_filters`, problems),
    accessLog: decodeAccessLogs(manager.accessLog, `${path}.access_log`, problems),
    tracing: decodeTracing(manager, path, problems),
    client: decodeClientAddress(manager, path, problems),
    forwardClientCert: forwardModes[manager.forwardClientCertDetails] ?? "sanitize",
    clientCertDetails: {
      subject: details?.subject ?? false,
      uri: details?.uri ?? false,
      dns: details?.dns ?? false,
      cert: details?.cert ?? false,
    },
    serverName: manager.serverName || "envoy",
    serverHeader: serverHeaders[manager.serverHeaderTransformation] ?? "overwrite",
    via: headerValue(manager.via, `${path}.via`, problems),
    addUserAgent: manager.addUserAgent ?? false,
    schemeOverwrite: decodeScheme(manager, path, problems),
    generateRequestId: manager.generateRequestId ?? true,
    preserveExternalRequestId: manager.preserveExternalRequestId,
    alwaysSetRequestIdInResponse: manager.alwaysSetRequestIdInResponse,
    paths: decodePaths(manager),
    stripPort: decodeStripPort(manager, path, problems),
    stripTrailingHostDot: manager.stripTrailingHostDot,
    headersWithUnderscores: underscoreActions[common?.headersWithUnderscoresAction ?? Underscores.ALLOW] ?? "allow",
    proxies100Continue: manager.proxy100Continue,
    upgradeTypes: decodeUpgrades(manager, path, problems),
    codec: codecs[manager.codecType] ?? "auto",
    http1: decodeHttp1(manager, path, problems),
    http2: decodeHttp2Options(
      manager.http2ProtocolOptions,
      manager.useRemoteAddress === true ? edgeHttp2 : meshHttp2,
      `${path}.http2_protocol_options`,
      problems,
    ),
    localReply: localReply === undefined ? null : decodeLocalReply(localReply, `${path}.local_reply_config`, problems),
    idleTimeoutMs: milliseconds(common?.idleTimeout, manager.useRemoteAddress === true ? edgeIdleMs : meshIdleMs),
    streamIdleTimeoutMs: milliseconds(manager.streamIdleTimeout, 300_000),
    requestTimeoutMs: milliseconds(manager.requestTimeout, 0),
    requestHeadersTimeoutMs: milliseconds(manager.requestHeadersTimeout, 0),
    maxStreamDurationMs: milliseconds(common?.maxStreamDuration, 0),
    maxConnectionDurationMs: milliseconds(common?.maxConnectionDuration, 0),
    maxRequestsPerConnection: common?.maxRequestsPerConnection ?? 0,
    drainTimeoutMs: milliseconds(manager.drainTimeout, 5000),
    delayedCloseTimeoutMs: milliseconds(manager.delayedCloseTimeout, 1000),
    maxRequestHeadersBytes: decodeHeadersLimit(manager, path, problems),
    maxRequestHeadersCount: common?.maxHeadersCount ?? 100,
  };
}

/** Envoy's default. Strangers get less: an edge has more of them than it can hold. */
const meshIdleMs = 3_600_000;
const edgeIdleMs = 60_000;

function decodeRoutes(
  manager: HttpConnectionManager,
  path: string,
  problems: Problems,
): Pick<HttpConnectionManagerConfig, "routeConfigName" | "routeConfig"> {
  const specifier = manager.routeSpecifier;
  switch (specifier.case) {
    case "rds":
      if (specifier.value.routeConfigName === "") problems.invalid(`${path}.rds.route_config_name`, "is missing");
      return { routeConfigName: specifier.value.routeConfigName, routeConfig: null };
    case "routeConfig":
      return {
        routeConfigName: null,
        routeConfig: decodeRouteConfig(specifier.value, `${path}.route_config.`, problems),
      };
    case "scopedRoutes":
      problems.unsupported(`${path}.scoped_routes`, "routes by scope");
      return { routeConfigName: null, routeConfig: null };
    case undefined:
      problems.invalid(path, "names no routes");
      return { routeConfigName: null, routeConfig: null };
  }
}

function decodePaths(manager: HttpConnectionManager): PathConfig {
  return {
    normalize: manager.normalizePath ?? false,
    mergeSlashes: manager.mergeSlashes,
    escapedSlashes: escapedSlashes[manager.pathWithEscapedSlashesAction] ?? "keep",
  };
}

function decodeStripPort(
  manager: HttpConnectionManager,
  path: string,
  problems: Problems,
): HttpConnectionManagerConfig["stripPort"] {
  const any = manager.stripPortMode.value === true;
  if (any && manager.stripMatchingHostPort) {
    problems.invalid(`${path}.strip_matching_host_port`, "cannot stand beside strip_any_host_port");
  }
  return any ? "any" : manager.stripMatchingHostPort ? "matching" : "never";
}

function decodeUpgrades(manager: HttpConnectionManager, path: string, problems: Problems): readonly string[] {
  manager.upgradeConfigs.forEach((upgrade, i) => {
    const own = `${path}.upgrade_configs[${i}]`;
    if (upgrade.upgradeType === "") problems.invalid(`${own}.upgrade_type`, "is missing");
    if (upgrade.filters.length > 0) problems.unsupported(`${own}.filters`, "a filter chain of one upgrade type");
  });
  return manager.upgradeConfigs
    .filter((upgrade) => upgrade.enabled ?? true)
    .map((upgrade) => upgrade.upgradeType.toLowerCase());
}

function decodeHttp1(manager: HttpConnectionManager, path: string, problems: Problems): Http1Config {
  const options = manager.httpProtocolOptions;
  return {
    allowAbsoluteUrl: options?.allowAbsoluteUrl ?? true,
    defaultHost: headerValue(
      options?.defaultHostForHttp10 ?? "",
      `${path}.http_protocol_options.default_host_for_http_10`,
      problems,
    ),
    allowChunkedLength: options?.allowChunkedLength ?? false,
    properCaseNames: decodeNameFormat(options, `${path}.http_protocol_options.header_key_format`, problems),
    keepsOpenAfterInvalid:
      options?.overrideStreamErrorOnInvalidHttpMessage ?? manager.streamErrorOnInvalidHttpMessage ?? false,
  };
}

/** Names keep their case here without being asked, so that the preserving formatter has nothing left to do. */
function decodeNameFormat(options: Http1ProtocolOptions | undefined, path: string, problems: Problems): boolean {
  const format = options?.headerKeyFormat?.headerFormat;
  if (format?.case === "properCaseWords") return true;
  if (format?.case === "statefulFormatter") {
    const type = typeName(format.value.typedConfig);
    if (type !== PreserveCaseFormatterConfigSchema.typeName) {
      problems.leftOut(`${path}.stateful_formatter`, `the header formatter ${format.value.name || type}`);
    }
  }
  return false;
}

function decodeScheme(
  manager: HttpConnectionManager,
  path: string,
  problems: Problems,
): HttpConnectionManagerConfig["schemeOverwrite"] {
  const transformation = manager.schemeHeaderTransformation;
  if (transformation === undefined) return null;
  if (transformation.matchUpstream) {
    problems.leftOut(`${path}.scheme_header_transformation.match_upstream`, "the scheme of the upstream's transport");
  }
  const scheme = transformation.transformation.value;
  if (scheme === undefined || scheme === "http" || scheme === "https") return scheme ?? null;
  problems.invalid(`${path}.scheme_header_transformation.scheme_to_overwrite`, `"${scheme}" is not http or https`);
  return null;
}

function decodeHeadersLimit(manager: HttpConnectionManager, path: string, problems: Problems): number {
  const kilobytes = manager.maxRequestHeadersKb ?? 60;
  if (kilobytes < 1 || kilobytes > 8192) {
    problems.invalid(`${path}.max_request_headers_kb`, `${kilobytes} is not between 1 and 8192`);
  }
  return kilobytes * 1024;
}

/** Text that is written into heads as it is. */
function headerValue(text: string, path: string, problems: Problems): string {
  if (/^[\x20-\x7e]*$/.test(text)) return text;
  problems.invalid(path, "holds a character that a header value may not have");
  return "";
}

function reportUnsupported(manager: HttpConnectionManager, path: string, problems: Problems): void {
  if (manager.codecType === CodecType.HTTP3) problems.unsupported(`${path}.codec_type`, "HTTP/3");
  if (manager.earlyHeaderMutationExtensions.length > 0) {
    problems.unsupported(`${path}.early_header_mutation_extensions`, "changing headers before routing");
  }
  const requestId = manager.requestIdExtension?.typedConfig;
  if (requestId !== undefined && typeName(requestId) !== UuidRequestIdConfigSchema.typeName) {
    problems.unsupported(`${path}.request_id_extension`, "a request id that is not a UUID");
  }
  if (manager.internalAddressConfig?.unixSockets === true) {
    problems.leftOut(`${path}.internal_address_config.unix_sockets`, "clients on Unix sockets as internal");
  }
  if (manager.setCurrentClientCertDetails?.chain === true) {
    problems.leftOut(`${path}.set_current_client_cert_details.chain`, "the client's certificate chain");
  }
  for (const [field, what] of leftOut) {
    if (isSet(manager[field])) problems.leftOut(`${path}.${protoName(field)}`, what);
  }
}

/** Fields that nobody's safety hangs on. */
const leftOut: readonly (readonly [keyof HttpConnectionManager, string])[] = [
  ["proxyStatusConfig", "the Proxy-Status header"],
  ["typedHeaderValidationConfig", "a header validator of its own"],
  ["pathNormalizationOptions", "a path transformation of its own"],
  ["appendLocalOverload", "the x-envoy-local-overloaded header"],
  ["accessLogFlushInterval", "logging before a request is over"],
  ["flushAccessLogOnNewRequest", "logging before a request is over"],
  ["accessLogOptions", "logging before a request is over"],
];

function isSet(value: unknown): boolean {
  return value !== undefined && value !== false;
}

function protoName(field: string): string {
  return field.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

const escapedSlashes: Readonly<Record<number, PathConfig["escapedSlashes"]>> = {
  [EscapedSlashes.IMPLEMENTATION_SPECIFIC_DEFAULT]: "keep",
  [EscapedSlashes.KEEP_UNCHANGED]: "keep",
  [EscapedSlashes.REJECT_REQUEST]: "reject",
  [EscapedSlashes.UNESCAPE_AND_REDIRECT]: "redirect",
  [EscapedSlashes.UNESCAPE_AND_FORWARD]: "forward",
};

const underscoreActions: Readonly<Record<number, HttpConnectionManagerConfig["headersWithUnderscores"]>> = {
  [Underscores.ALLOW]: "allow",
  [Underscores.REJECT_REQUEST]: "reject",
  [Underscores.DROP_HEADER]: "drop",
};

const forwardModes: Readonly<Record<number, HttpConnectionManagerConfig["forwardClientCert"]>> = {
  [ForwardCert.SANITIZE]: "sanitize",
  [ForwardCert.FORWARD_ONLY]: "forward_only",
  [ForwardCert.APPEND_FORWARD]: "append_forward",
  [ForwardCert.SANITIZE_SET]: "sanitize_set",
  [ForwardCert.ALWAYS_FORWARD_ONLY]: "always_forward_only",
};

const codecs: Readonly<Record<number, HttpConnectionManagerConfig["codec"]>> = {
  [CodecType.HTTP1]: "http1",
  [CodecType.HTTP2]: "http2",
};

const serverHeaders: Readonly<Record<number, HttpConnectionManagerConfig["serverHeader"]>> = {
  [ServerHeader.OVERWRITE]: "overwrite",
  [ServerHeader.APPEND_IF_ABSENT]: "append_if_absent",
  [ServerHeader.PASS_THROUGH]: "pass_through",
};
