// envoy...HttpConnectionManager to its runtime shape, with Envoy's defaults.
import type { Origin } from "#base/issue.ts";
import {
  HttpConnectionManager_CodecType as CodecType,
  HttpConnectionManager_PathWithEscapedSlashesAction as EscapedSlashes,
  HttpConnectionManager_ForwardClientCertDetails as ForwardCert,
  type HttpConnectionManager,
  HttpConnectionManager_ServerHeaderTransformation as ServerHeader,
} from "#wire/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts";
import { decodeAccessLogs } from "./decode-access-log.ts";
import { decodeHttpFilters } from "./decode-http-filters.ts";
import { decodeRouteConfig } from "./decode-route.ts";
import type { HttpConnectionManagerConfig } from "./http.ts";
import { milliseconds } from "./parse/values.ts";
import type { Problems } from "./problems.ts";

export function decodeConnectionManager(
  manager: HttpConnectionManager,
  policyOrigins: ReadonlyMap<string, Origin>,
  path: string,
  problems: Problems,
): HttpConnectionManagerConfig {
  reportUnsupported(manager, path, problems);
  const details = manager.setCurrentClientCertDetails;
  return {
    statPrefix: manager.statPrefix,
    ...decodeRoutes(manager, path, problems),
    httpFilters: decodeHttpFilters(manager.httpFilters, policyOrigins, `${path}.http_filters`, problems),
    accessLog: decodeAccessLogs(manager.accessLog, `${path}.access_log`, problems),
    useRemoteAddress: manager.useRemoteAddress ?? false,
    xffTrustedHops: manager.xffNumTrustedHops,
    forwardClientCert: forwardModes[manager.forwardClientCertDetails] ?? "sanitize",
    clientCertDetails: {
      subject: details?.subject ?? false,
      uri: details?.uri ?? false,
      dns: details?.dns ?? false,
      cert: details?.cert ?? false,
    },
    serverName: manager.serverName || "envoy",
    serverHeader: serverHeaders[manager.serverHeaderTransformation] ?? "overwrite",
    generateRequestId: manager.generateRequestId ?? true,
    normalizePath: manager.normalizePath ?? false,
    unescapeSlashes: manager.pathWithEscapedSlashesAction === EscapedSlashes.UNESCAPE_AND_FORWARD,
    mergeSlashes: manager.mergeSlashes,
    upgradeTypes: manager.upgradeConfigs
      .filter((upgrade) => upgrade.enabled ?? true)
      .map((upgrade) => upgrade.upgradeType.toLowerCase()),
    idleTimeoutMs: milliseconds(manager.commonHttpProtocolOptions?.idleTimeout, 3_600_000),
    streamIdleTimeoutMs: milliseconds(manager.streamIdleTimeout, 300_000),
    requestTimeoutMs: milliseconds(manager.requestTimeout, 0),
    requestHeadersTimeoutMs: milliseconds(manager.requestHeadersTimeout, 0),
    maxRequestHeadersBytes: (manager.maxRequestHeadersKb ?? 60) * 1024,
    maxRequestHeadersCount: manager.commonHttpProtocolOptions?.maxHeadersCount ?? 100,
  };
}

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

function reportUnsupported(manager: HttpConnectionManager, path: string, problems: Problems): void {
  if (manager.codecType === CodecType.HTTP3) problems.unsupported(`${path}.codec_type`, "HTTP/3");
  if (manager.originalIpDetectionExtensions.length > 0) {
    problems.unsupported(`${path}.original_ip_detection_extensions`, "client address detection by extension");
  }
  const slashes = manager.pathWithEscapedSlashesAction;
  if (slashes === EscapedSlashes.REJECT_REQUEST || slashes === EscapedSlashes.UNESCAPE_AND_REDIRECT) {
    problems.unsupported(`${path}.path_with_escaped_slashes_action`, "an answer to escaped slashes");
  }
  if (manager.localReplyConfig !== undefined)
    problems.leftOut(`${path}.local_reply_config`, "a format of local replies");
  if (manager.tracing !== undefined) problems.leftOut(`${path}.tracing`, "sending spans");
  if (manager.stripPortMode.value === true || manager.stripMatchingHostPort) {
    problems.leftOut(`${path}.strip_any_host_port`, "cutting the port off the host");
  }
}

const forwardModes: Readonly<Record<number, HttpConnectionManagerConfig["forwardClientCert"]>> = {
  [ForwardCert.SANITIZE]: "sanitize",
  [ForwardCert.FORWARD_ONLY]: "forward_only",
  [ForwardCert.APPEND_FORWARD]: "append_forward",
  [ForwardCert.SANITIZE_SET]: "sanitize_set",
  [ForwardCert.ALWAYS_FORWARD_ONLY]: "always_forward_only",
};

const serverHeaders: Readonly<Record<number, HttpConnectionManagerConfig["serverHeader"]>> = {
  [ServerHeader.OVERWRITE]: "overwrite",
  [ServerHeader.APPEND_IF_ABSENT]: "append_if_absent",
  [ServerHeader.PASS_THROUGH]: "pass_through",
};
