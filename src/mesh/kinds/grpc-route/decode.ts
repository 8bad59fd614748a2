// Reads a GRPCRoute.
import {
  type Decoder,
  decodeSpec,
  list,
  oneOf,
  optional,
  record,
  string,
  text,
  withDefault,
} from "../../objects/decode.ts";
import {
  decodeExtensionReference,
  decodeHeaderModifier,
  decodeRequestMirror,
  headerMatches,
} from "../../objects/fields/route-filter.ts";
import { parentReferences, weightedBackendFields } from "../../objects/fields/route-reference.ts";
import { sessionPersistence } from "../../objects/fields/session-persistence.ts";
import type { KubernetesObject } from "../../objects/kubernetes-object.ts";
import type { Report } from "../../objects/report.ts";
import {
  type GrpcBackend,
  type GrpcMethodMatch,
  type GrpcRouteFilter,
  type GrpcRouteMatch,
  type GrpcRouteRule,
  type GrpcRouteSpec,
  grpcRouteFilterTypes,
} from "./spec.ts";

const filter = record<GrpcRouteFilter>({
  type: withDefault(oneOf(grpcRouteFilterTypes), "ExtensionRef"),
  requestHeaderModifier: optional(decodeHeaderModifier),
  responseHeaderModifier: optional(decodeHeaderModifier),
  requestMirror: optional(decodeRequestMirror),
  extensionRef: optional(decodeExtensionReference),
});

const match = record<GrpcRouteMatch>({
  method: optional(
    record<GrpcMethodMatch>({
      type: withDefault(oneOf(["Exact", "RegularExpression"]), "Exact"),
      service: text,
      method: text,
    }),
  ),
  headers: headerMatches,
});

const spec: Decoder<GrpcRouteSpec> = record<GrpcRouteSpec>({
  parentRefs: parentReferences,
  hostnames: list(string, 16),
  rules: list(
    record<GrpcRouteRule>({
      name: text,
      matches: list(match, 64),
      filters: list(filter, 16),
      backendRefs: list(record<GrpcBackend>({ ...weightedBackendFields, filters: list(filter, 16) }), 16),
      sessionPersistence: optional(sessionPersistence),
    }),
    16,
  ),
});

const everyCall: GrpcRouteRule = { name: "", matches: [], filters: [], backendRefs: [] };

export function decodeGrpcRoute(object: KubernetesObject, report: Report): GrpcRouteSpec | undefined {
  const decoded = decodeSpec(object, spec, report);
  return decoded === undefined || decoded.rules.length > 0 ? decoded : { ...decoded, rules: [everyCall] };
}
