// GatewayClass for the rest of the mesh.
import { decodeSpec, optional, record, text } from "../../objects/decode.ts";
import type { Kind } from "../../objects/kind.ts";
import type { GatewayClassSpec, ParametersReference } from "./spec.ts";

const spec = record<GatewayClassSpec>({
  controllerName: text,
  description: text,
  parametersRef: optional(record<ParametersReference>({ group: text, kind: text, name: text, namespace: text })),
});

const controllerName =
  /^[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*\/[A-Za-z0-9/\-._~%!$&'()*+,;=:]+$/;

export const gatewayClass: Kind<GatewayClassSpec> = {
  kind: "GatewayClass",
  decode: (object, report) => decodeSpec(object, spec, report),
  validate(decoded, report) {
    if (controllerName.test(decoded.controllerName)) return;
    report({
      path: "spec.controllerName",
      message: `"${decoded.controllerName}" is not a controller name`,
      fix: "istio.io/gateway-controller",
    });
  },
};
