// HTTPRoute as decoded: every field of the Gateway API that a mesh can act on, defaults filled in, times in milliseconds.

import type {
  ExtensionReference,
  HeaderMatch,
  HeaderModifier,
  RequestMirror,
} from "../../objects/fields/route-filter.ts";
import type { ParentReference, WeightedBackend } from "../../objects/fields/route-reference.ts";
import type { SessionPersistence } from "../../objects/fields/session-persistence.ts";
import type { Milliseconds } from "../../objects/fields/units.ts";

export interface HttpRouteSpec {
  readonly parentRefs: readonly ParentReference[];
  /** Empty means every host that the parent admits. */
  readonly hostnames: readonly string[];
  /** Never empty: without any, one rule matches everything. */
  readonly rules: readonly HttpRouteRule[];
}

export interface HttpRouteRule {
  readonly name: string;
  /** OR of the items; never empty. */
  readonly matches: readonly HttpRouteMatch[];
  readonly filters: readonly HttpRouteFilter[];
  readonly backendRefs: readonly HttpBackend[];
  readonly timeouts?: HttpRouteTimeouts;
  readonly retry?: HttpRouteRetry;
  readonly sessionPersistence?: SessionPersistence;
}

/** AND of all members. */
export interface HttpRouteMatch {
  readonly path: HttpPathMatch;
  readonly headers: readonly HeaderMatch[];
  readonly queryParams: readonly HeaderMatch[];
  /** Empty means any. */
  readonly method: string;
}

export interface HttpPathMatch {
  readonly type: "Exact" | "PathPrefix" | "RegularExpression";
  readonly value: string;
}

export interface HttpBackend extends WeightedBackend {
  readonly filters: readonly HttpRouteFilter[];
}

/** `type` names the one member that is set. */
export interface HttpRouteFilter {
  readonly type: HttpRouteFilterType;
  readonly requestHeaderModifier?: HeaderModifier;
  readonly responseHeaderModifier?: HeaderModifier;
  readonly requestMirror?: RequestMirror;
  readonly requestRedirect?: HttpRequestRedirect;
  readonly urlRewrite?: HttpUrlRewrite;
  readonly cors?: HttpCors;
  readonly extensionRef?: ExtensionReference;
  readonly externalAuth?: unknown;
}

export const httpRouteFilterTypes = [
  "RequestHeaderModifier",
  "ResponseHeaderModifier",
  "RequestMirror",
  "RequestRedirect",
  "URLRewrite",
  "CORS",
  "ExtensionRef",
  "ExternalAuth",
] as const;
type HttpRouteFilterType = (typeof httpRouteFilterTypes)[number];

export interface HttpRequestRedirect {
  readonly scheme?: "http" | "https";
  readonly hostname: string;
  readonly path?: HttpPathModifier;
  /** 0 means that of the scheme if one is set, else that of the listener. */
  readonly port: number;
  readonly statusCode: number;
}

export interface HttpUrlRewrite {
  readonly hostname: string;
  readonly path?: HttpPathModifier;
}

export interface HttpPathModifier {
  readonly type: "ReplaceFullPath" | "ReplacePrefixMatch";
  readonly replaceFullPath?: string;
  readonly replacePrefixMatch?: string;
}

export interface HttpCors {
  readonly allowOrigins: readonly string[];
  readonly allowCredentials?: boolean;
  readonly allowMethods: readonly string[];
  readonly allowHeaders: readonly string[];
  readonly exposeHeaders: readonly string[];
  /** Seconds. */
  readonly maxAge: number;
}

export interface HttpRouteTimeouts {
  /** 0 means none. */
  readonly request?: Milliseconds;
  readonly backendRequest?: Milliseconds;
}

export interface HttpRouteRetry {
  readonly codes: readonly number[];
  readonly attempts?: number;
  readonly backoff?: Milliseconds;
}
