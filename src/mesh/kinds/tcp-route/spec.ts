// TCPRoute as decoded.
import type { ParentReference, WeightedBackend } from "../../objects/fields/route-reference.ts";

export interface TcpRouteSpec {
  readonly parentRefs: readonly ParentReference[];
  readonly rules: readonly TcpRouteRule[];
}

export interface TcpRouteRule {
  readonly name: string;
  readonly backendRefs: readonly WeightedBackend[];
}
