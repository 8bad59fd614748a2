// Reads a VirtualService.
import {
  boolean,
  count,
  type Decoder,
  decodeSpec,
  duration,
  flag,
  int32,
  list,
  map,
  oneOf,
  optional,
  percent,
  record,
  string,
  stringMap,
  strings,
  text,
  uint32,
  withDefault,
} from "../../objects/decode.ts";
import { decodeHttpRetry } from "../../objects/fields/http-retry.ts";
import { decodePortSelector } from "../../objects/fields/port.ts";
import { decodeStringMatch } from "../../objects/fields/string-match.ts";
import type { KubernetesObject } from "../../objects/kubernetes-object.ts";
import type { Report } from "../../objects/report.ts";
import {
  type CorsPolicy,
  type Delegate,
  type Destination,
  type HeaderOperations,
  type Headers,
  type HttpDirectResponse,
  type HttpFaultAbort,
  type HttpFaultDelay,
  type HttpFaultInjection,
  type HttpMatchRequest,
  type HttpMirrorPolicy,
  type HttpRedirect,
  type HttpRewrite,
  type HttpRoute,
  type HttpRouteDestination,
  type L4MatchAttributes,
  meshGateway,
  type RouteDestination,
  type TcpRoute,
  type TlsMatchAttributes,
  type TlsRoute,
  type VirtualServiceSpec,
} from "./spec.ts";

const destination = record<Destination>({ host: text, subset: text, port: optional(decodePortSelector) });
const noDestination: Destination = { host: "", subset: "" };

const headerOperations = record<HeaderOperations>({ set: stringMap, add: stringMap, remove: strings });
const headers = record<Headers>({ request: optional(headerOperations), response: optional(headerOperations) });

const httpRouteDestination = record<HttpRouteDestination>({
  destination: withDefault(destination, noDestination),
  weight: withDefault(int32, 0),
  headers: optional(headers),
});

const routeDestination = record<RouteDestination>({
  destination: withDefault(destination, noDestination),
  weight: withDefault(int32, 0),
});

const matchMap = map(decodeStringMatch);

const httpMatch = record<HttpMatchRequest>({
  name: text,
  uri: optional(decodeStringMatch),
  scheme: optional(decodeStringMatch),
  method: optional(decodeStringMatch),
  authority: optional(decodeStringMatch),
  headers: matchMap,
  withoutHeaders: matchMap,
  queryParams: matchMap,
  ignoreUriCase: flag,
  port: count,
  sourceLabels: stringMap,
  sourceNamespace: text,
  gateways: strings,
  statPrefix: text,
});

const redirect = record<HttpRedirect>({
  uri: text,
  prefixRewrite: text,
  authority: text,
  port: count,
  derivePort: optional(oneOf(["FROM_PROTOCOL_DEFAULT", "FROM_REQUEST_PORT"])),
  scheme: text,
  redirectCode: withDefault(uint32, 301),
});

const directResponse = record<HttpDirectResponse>({
  status: count,
  body: optional(
    record<NonNullable<HttpDirectResponse["body"]>>({ string: optional(string), bytes: optional(string) }),
  ),
});

const rewrite = record<HttpRewrite>({
  uri: text,
  authority: text,
  uriRegexRewrite: optional(record({ match: text, rewrite: text })),
});

const fault = record<HttpFaultInjection>({
  delay: optional(
    record<HttpFaultDelay>({
      percent: withDefault(int32, 0),
      fixedDelay: optional(duration),
      exponentialDelay: optional(duration),
      percentage: optional(percent),
    }),
  ),
  abort: optional(
    record<HttpFaultAbort>({
      httpStatus: optional(int32),
      grpcStatus: optional(string),
      http2Error: optional(string),
      percentage: optional(percent),
    }),
  ),
});

const cors = record<CorsPolicy>({
  allowOrigins: list(decodeStringMatch),
  allowOrigin: strings,
  allowMethods: strings,
  allowHeaders: strings,
  exposeHeaders: strings,
  maxAge: optional(duration),
  allowCredentials: optional(boolean),
  unmatchedPreflights: withDefault(oneOf(["UNSPECIFIED", "FORWARD", "IGNORE"]), "UNSPECIFIED"),
});

const httpRoute = record<Omit<HttpRoute, "session">>({
  name: text,
  match: list(httpMatch),
  route: list(httpRouteDestination),
  redirect: optional(redirect),
  directResponse: optional(directResponse),
  delegate: optional(record<Delegate>({ name: text, namespace: text })),
  rewrite: optional(rewrite),
  timeout: optional(duration),
  retries: optional(decodeHttpRetry),
  fault: optional(fault),
  mirror: optional(destination),
  mirrorPercent: optional(uint32),
  mirrorPercentage: optional(percent),
  mirrors: list(
    record<HttpMirrorPolicy>({
      destination: withDefault(destination, noDestination),
      percentage: optional(percent),
    }),
  ),
  corsPolicy: optional(cors),
  headers: optional(headers),
});

const tlsRoute = record<TlsRoute>({
  match: list(
    record<TlsMatchAttributes>({
      sniHosts: strings,
      destinationSubnets: strings,
      port: count,
      sourceLabels: stringMap,
      gateways: strings,
      sourceNamespace: text,
    }),
  ),
  route: list(routeDestination),
});

const tcpRoute = record<TcpRoute>({
  match: list(
    record<L4MatchAttributes>({
      destinationSubnets: strings,
      port: count,
      sourceSubnet: text,
      sourceLabels: stringMap,
      gateways: strings,
      sourceNamespace: text,
    }),
  ),
  route: list(routeDestination),
});

const spec: Decoder<VirtualServiceSpec> = record<VirtualServiceSpec>({
  hosts: strings,
  gateways: strings,
  exportTo: strings,
  http: list(httpRoute),
  tls: list(tlsRoute),
  tcp: list(tcpRoute),
});

export function decodeVirtualService(object: KubernetesObject, report: Report): VirtualServiceSpec | undefined {
  const decoded = decodeSpec(object, spec, report);
  if (decoded === undefined) return undefined;
  const isDelegate = decoded.hosts.length === 0;
  return decoded.gateways.length > 0 || isDelegate ? decoded : { ...decoded, gateways: [meshGateway] };
}
