// The HTTP connection manager as Istio configures it: codec, paths, timeouts, client certificate details, access log.
import type { MessageInitShape } from "@bufbuild/protobuf";
import { create } from "@bufbuild/protobuf";
import { type Filter, FilterSchema } from "#wire/gen/envoy/config/listener/v3/listener_components_pb.ts";
import type { RouteConfiguration } from "#wire/gen/envoy/config/route/v3/route_pb.ts";
import {
  HttpConnectionManager_PathWithEscapedSlashesAction as EscapedSlashes,
  HttpConnectionManager_ForwardClientCertDetails as ForwardClientCert,
  type HttpConnectionManager_SetCurrentClientCertDetailsSchema,
  HttpConnectionManagerSchema,
  type HttpFilter,
} from "#wire/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts";
import type { ForwardClientCertDetails } from "../../objects/fields/gateway-topology.ts";
import { fromAds, milliseconds, pack } from "../envoy-values.ts";
import { statDelimiter } from "../names.ts";
import type { AccessLogs } from "./access-log.ts";
import type { ListenerClass } from "./http-filters.ts";
import type { ListenerTracing } from "./tracing.ts";

export interface HttpConnectionManagerSettings {
  readonly class: ListenerClass;
  /** Without the delimiter that Istio appends. */
  readonly statPrefix: string;
  /** A name to be asked for over RDS, or the routes themselves. */
  readonly routes: string | RouteConfiguration;
  readonly httpFilters: HttpFilter[];
  readonly accessLogs: AccessLogs;
  readonly tracing: ListenerTracing | undefined;
  /** Proxies in front of a gateway that may be believed about x-forwarded-for. */
  readonly trustedHops: number;
  /** Of a gateway; UNDEFINED is Istio's default, SANITIZE_SET. */
  readonly forwardClientCertDetails?: ForwardClientCertDetails;
  readonly pathNormalization: PathNormalization;
}

export type PathNormalization = "NONE" | "BASE" | "MERGE_SLASHES" | "DECODE_AND_MERGE_SLASHES";

/** Builds the network filter `envoy.filters.network.http_connection_manager`. */
export function httpConnectionManager(settings: HttpConnectionManagerSettings): Filter {
  const value = pack(HttpConnectionManagerSchema, {
    statPrefix: `${settings.statPrefix}${statDelimiter}`,
    routeSpecifier:
      typeof settings.routes === "string"
        ? { case: "rds", value: { routeConfigName: settings.routes, configSource: fromAds } }
        : { case: "routeConfig", value: settings.routes },
    httpFilters: settings.httpFilters,
    accessLog: [...settings.accessLogs.filter],
    ...(settings.tracing !== undefined && { tracing: settings.tracing.tracing }),
    ...(settings.tracing?.requestId !== undefined && { requestIdExtension: settings.tracing.requestId }),
    streamIdleTimeout: milliseconds(0),
    upgradeConfigs: [{ upgradeType: "websocket" }],
    // The workload says whether it wants the body, not the proxy in its place.
    proxy100Continue: true,
    // As Istio with PILOT_HTTP10: old clients are served and not sent away with 426.
    httpProtocolOptions: { acceptHttp10: true },
    ...paths(settings.pathNormalization),
    ...(settings.class === "gateway" && { useRemoteAddress: true, xffNumTrustedHops: settings.trustedHops }),
    ...(settings.class !== "gateway" && { useRemoteAddress: false }),
    ...clientCertificates[settings.class],
    ...(settings.forwardClientCertDetails !== undefined && forwarded(settings.forwardClientCertDetails)),
    // Outbound answers carry Envoy's own name, `envoy`; servers and gateways say `istio-envoy`.
    ...(settings.class !== "sidecar-outbound" && { serverName: "istio-envoy" }),
  });
  return create(FilterSchema, {
    name: "envoy.filters.network.http_connection_manager",
    configType: { case: "typedConfig", value },
  });
}

type ManagerInit = Exclude<MessageInitShape<typeof HttpConnectionManagerSchema>, { $typeName: string }>;
type CertificateDetails = MessageInitShape<typeof HttpConnectionManager_SetCurrentClientCertDetailsSchema>;

/** What `x-forwarded-client-cert` says, by where the filter stands. */
const clientCertificates: Readonly<
  Record<
    ListenerClass,
    { forwardClientCertDetails?: ForwardClientCert; setCurrentClientCertDetails?: CertificateDetails }
  >
> = {
  "sidecar-inbound": {
    forwardClientCertDetails: ForwardClientCert.APPEND_FORWARD,
    setCurrentClientCertDetails: { subject: true, uri: true, dns: true },
  },
  "sidecar-outbound": {},
  gateway: {
    forwardClientCertDetails: ForwardClientCert.SANITIZE_SET,
    setCurrentClientCertDetails: { subject: true, cert: true, uri: true, dns: true },
  },
};

/** Only where this proxy writes the header itself is there something to write. */
function forwarded(details: ForwardClientCertDetails): ManagerInit {
  if (details === "UNDEFINED") return {};
  const writes = details === "SANITIZE_SET" || details === "APPEND_FORWARD";
  return {
    forwardClientCertDetails: ForwardClientCert[details],
    ...(!writes && { setCurrentClientCertDetails: undefined }),
  };
}

function paths(normalization: PathNormalization): ManagerInit {
  switch (normalization) {
    case "NONE":
      return { normalizePath: false };
    case "BASE":
      return { normalizePath: true, pathWithEscapedSlashesAction: EscapedSlashes.KEEP_UNCHANGED };
    case "MERGE_SLASHES":
      return {
        normalizePath: true,
        mergeSlashes: true,
        pathWithEscapedSlashesAction: EscapedSlashes.KEEP_UNCHANGED,
      };
    case "DECODE_AND_MERGE_SLASHES":
      return {
        normalizePath: true,
        mergeSlashes: true,
        pathWithEscapedSlashesAction: EscapedSlashes.UNESCAPE_AND_FORWARD,
      };
  }
}
