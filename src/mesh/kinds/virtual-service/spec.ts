// VirtualService as decoded: every field of the API, defaults filled in, durations in milliseconds.
import type { HttpRetry } from "../../objects/fields/http-retry.ts";
import type { PortSelector } from "../../objects/fields/port.ts";
import type { Labels } from "../../objects/fields/selector.ts";
import type { StringMatch } from "../../objects/fields/string-match.ts";
import type { Milliseconds, Percent } from "../../objects/fields/units.ts";

export interface VirtualServiceSpec {
  /** FQDN, short name, wildcard, or IP. Empty on a delegate. In a snapshot short names are expanded. */
  readonly hosts: readonly string[];
  /** `mesh`, or gateways as `ns/name` once in a snapshot. Never empty after decode unless this is a delegate. */
  readonly gateways: readonly string[];
  /** Empty means the mesh's default. */
  readonly exportTo: readonly string[];
  readonly http: readonly HttpRoute[];
  readonly tls: readonly TlsRoute[];
  readonly tcp: readonly TcpRoute[];
}

/** The reserved gateway name that stands for all sidecars. */
export const meshGateway = "mesh";

export interface HttpRoute {
  readonly name: string;
  /** OR of the items; empty matches everything. */
  readonly match: readonly HttpMatchRequest[];
  readonly route: readonly HttpRouteDestination[];
  readonly redirect?: HttpRedirect;
  readonly directResponse?: HttpDirectResponse;
  readonly delegate?: Delegate;
  readonly rewrite?: HttpRewrite;
  /** Undefined or 0: no timeout. */
  readonly timeout?: Milliseconds;
  readonly retries?: HttpRetry;
  readonly fault?: HttpFaultInjection;
  readonly mirror?: Destination;
  /** Deprecated whole number. */
  readonly mirrorPercent?: number;
  readonly mirrorPercentage?: Percent;
  readonly mirrors: readonly HttpMirrorPolicy[];
  readonly corsPolicy?: CorsPolicy;
  readonly headers?: Headers;
  /** No field of the API: what a route of the Gateway API asks for. */
  readonly session?: RouteSession;
}

/** Requests of a session go to the endpoint that answered its first one. */
export interface RouteSession {
  readonly type: "Cookie" | "Header";
  readonly name: string;
  /** Undefined: a cookie goes when the browser is closed. */
  readonly lifetime?: Milliseconds;
}

/** AND of all members that are set. */
export interface HttpMatchRequest {
  readonly name: string;
  readonly uri?: StringMatch;
  readonly scheme?: StringMatch;
  readonly method?: StringMatch;
  readonly authority?: StringMatch;
  readonly headers: Readonly<Record<string, StringMatch>>;
  readonly withoutHeaders: Readonly<Record<string, StringMatch>>;
  readonly queryParams: Readonly<Record<string, StringMatch>>;
  /** For exact and prefix matches of the uri. */
  readonly ignoreUriCase: boolean;
  /** Service or listener port; 0 means any. */
  readonly port: number;
  /** The three below choose client proxies when configuration is compiled; they are not seen by a request. */
  readonly sourceLabels: Labels;
  readonly sourceNamespace: string;
  /** Overrides the top-level gateways when not empty. */
  readonly gateways: readonly string[];
  readonly statPrefix: string;
}

export interface Destination {
  readonly host: string;
  readonly subset: string;
  readonly port?: PortSelector;
}

export interface HttpRouteDestination {
  readonly destination: Destination;
  /** Relative to the sum; meaningless when there is one destination. */
  readonly weight: number;
  readonly headers?: Headers;
}

export interface RouteDestination {
  readonly destination: Destination;
  readonly weight: number;
}

export interface HttpRedirect {
  readonly uri: string;
  readonly prefixRewrite: string;
  readonly authority: string;
  /** 0 means not set. */
  readonly port: number;
  readonly derivePort?: "FROM_PROTOCOL_DEFAULT" | "FROM_REQUEST_PORT";
  readonly scheme: string;
  /** 301 by default. */
  readonly redirectCode: number;
}

export interface HttpDirectResponse {
  readonly status: number;
  readonly body?: { readonly string?: string; readonly bytes?: string };
}

export interface Delegate {
  readonly name: string;
  readonly namespace: string;
}

export interface HttpRewrite {
  readonly uri: string;
  readonly authority: string;
  readonly uriRegexRewrite?: { readonly match: string; readonly rewrite: string };
}

export interface HttpFaultInjection {
  readonly delay?: HttpFaultDelay;
  readonly abort?: HttpFaultAbort;
}

export interface HttpFaultDelay {
  /** Deprecated whole number. */
  readonly percent: number;
  readonly fixedDelay?: Milliseconds;
  readonly exponentialDelay?: Milliseconds;
  readonly percentage?: Percent;
}

export interface HttpFaultAbort {
  readonly httpStatus?: number;
  readonly grpcStatus?: string;
  readonly http2Error?: string;
  readonly percentage?: Percent;
}

export interface HttpMirrorPolicy {
  readonly destination: Destination;
  readonly percentage?: Percent;
}

export interface CorsPolicy {
  readonly allowOrigins: readonly StringMatch[];
  /** Deprecated: exact values. */
  readonly allowOrigin: readonly string[];
  readonly allowMethods: readonly string[];
  readonly allowHeaders: readonly string[];
  readonly exposeHeaders: readonly string[];
  readonly maxAge?: Milliseconds;
  readonly allowCredentials?: boolean;
  readonly unmatchedPreflights: "UNSPECIFIED" | "FORWARD" | "IGNORE";
}

export interface Headers {
  readonly request?: HeaderOperations;
  readonly response?: HeaderOperations;
}

export interface HeaderOperations {
  readonly set: Readonly<Record<string, string>>;
  readonly add: Readonly<Record<string, string>>;
  readonly remove: readonly string[];
}

export interface TlsRoute {
  readonly match: readonly TlsMatchAttributes[];
  readonly route: readonly RouteDestination[];
}

export interface TlsMatchAttributes {
  readonly sniHosts: readonly string[];
  readonly destinationSubnets: readonly string[];
  readonly port: number;
  readonly sourceLabels: Labels;
  readonly gateways: readonly string[];
  readonly sourceNamespace: string;
}

export interface TcpRoute {
  readonly match: readonly L4MatchAttributes[];
  readonly route: readonly RouteDestination[];
}

export interface L4MatchAttributes {
  readonly destinationSubnets: readonly string[];
  readonly port: number;
  readonly sourceSubnet: string;
  readonly sourceLabels: Labels;
  readonly gateways: readonly string[];
  readonly sourceNamespace: string;
}
