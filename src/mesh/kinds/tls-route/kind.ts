// TLSRoute for the rest of the mesh: how it is read, and the rules of its CRD.
import { decodeSpec, list, record, string, text } from "../../objects/decode.ts";
import {
  decodeWeightedBackend,
  parentReferences,
  validateConnectionRules,
  validateGatewayHostname,
  validateParentReferences,
} from "../../objects/fields/route-reference.ts";
import type { Kind } from "../../objects/kind.ts";
import type { TlsRouteRule, TlsRouteSpec } from "./spec.ts";

const spec = record<TlsRouteSpec>({
  parentRefs: parentReferences,
  hostnames: list(string, 16),
  rules: list(record<TlsRouteRule>({ name: text, backendRefs: list(decodeWeightedBackend, 16) }), 16),
});

export const tlsRoute: Kind<TlsRouteSpec> = {
  kind: "TLSRoute",
  decode: (object, report) => decodeSpec(object, spec, report),
  validate({ parentRefs, hostnames, rules }, report) {
    validateParentReferences(parentRefs, report);
    for (const [index, name] of hostnames.entries()) validateGatewayHostname(name, `spec.hostnames[${index}]`, report);
    validateConnectionRules(rules, report);
  },
};
