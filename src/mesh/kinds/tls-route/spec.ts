// TLSRoute as decoded.
import type { ParentReference, WeightedBackend } from "../../objects/fields/route-reference.ts";

export interface TlsRouteSpec {
  readonly parentRefs: readonly ParentReference[];
  /** Server names (SNI); empty means every name that the parent admits. */
  readonly hostnames: readonly string[];
  readonly rules: readonly TlsRouteRule[];
}

export interface TlsRouteRule {
  readonly name: string;
  readonly backendRefs: readonly WeightedBackend[];
}
