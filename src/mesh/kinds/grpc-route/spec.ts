// GRPCRoute as decoded.
import type {
  ExtensionReference,
  HeaderMatch,
  HeaderModifier,
  RequestMirror,
} from "../../objects/fields/route-filter.ts";
import type { ParentReference, WeightedBackend } from "../../objects/fields/route-reference.ts";
import type { SessionPersistence } from "../../objects/fields/session-persistence.ts";

export interface GrpcRouteSpec {
  readonly parentRefs: readonly ParentReference[];
  readonly hostnames: readonly string[];
  readonly rules: readonly GrpcRouteRule[];
}

export interface GrpcRouteRule {
  readonly name: string;
  /** OR of the items; empty matches every call. */
  readonly matches: readonly GrpcRouteMatch[];
  readonly filters: readonly GrpcRouteFilter[];
  readonly backendRefs: readonly GrpcBackend[];
  readonly sessionPersistence?: SessionPersistence;
}

export interface GrpcRouteMatch {
  readonly method?: GrpcMethodMatch;
  readonly headers: readonly HeaderMatch[];
}

/** At least one of both names is set. */
export interface GrpcMethodMatch {
  readonly type: "Exact" | "RegularExpression";
  readonly service: string;
  readonly method: string;
}

export interface GrpcBackend extends WeightedBackend {
  readonly filters: readonly GrpcRouteFilter[];
}

export interface GrpcRouteFilter {
  readonly type: GrpcRouteFilterType;
  readonly requestHeaderModifier?: HeaderModifier;
  readonly responseHeaderModifier?: HeaderModifier;
  readonly requestMirror?: RequestMirror;
  readonly extensionRef?: ExtensionReference;
}

export const grpcRouteFilterTypes = [
  "RequestHeaderModifier",
  "ResponseHeaderModifier",
  "RequestMirror",
  "ExtensionRef",
] as const;
type GrpcRouteFilterType = (typeof grpcRouteFilterTypes)[number];
