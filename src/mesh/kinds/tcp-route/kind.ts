// TCPRoute for the rest of the mesh: how it is read, and the rules of its CRD.
import { decodeSpec, list, record, text } from "../../objects/decode.ts";
import {
  decodeWeightedBackend,
  parentReferences,
  validateConnectionRules,
  validateParentReferences,
} from "../../objects/fields/route-reference.ts";
import type { Kind } from "../../objects/kind.ts";
import type { TcpRouteRule, TcpRouteSpec } from "./spec.ts";

const spec = record<TcpRouteSpec>({
  parentRefs: parentReferences,
  rules: list(record<TcpRouteRule>({ name: text, backendRefs: list(decodeWeightedBackend, 16) }), 16),
});

export const tcpRoute: Kind<TcpRouteSpec> = {
  kind: "TCPRoute",
  decode: (object, report) => decodeSpec(object, spec, report),
  validate({ parentRefs, rules }, report) {
    validateParentReferences(parentRefs, report);
    validateConnectionRules(rules, report);
  },
};
