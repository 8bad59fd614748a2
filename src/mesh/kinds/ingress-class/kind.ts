// IngressClass for the rest of the mesh.
import { decodeSpec, lenientRecord, text } from "../../objects/decode.ts";
import type { Kind } from "../../objects/kind.ts";
import type { IngressClassSpec } from "./spec.ts";

const spec = lenientRecord<IngressClassSpec>({ controller: text });

export const ingressClass: Kind<IngressClassSpec> = {
  kind: "IngressClass",
  decode: (object, report) => decodeSpec(object, spec, report),
  validate({ controller }, report) {
    if (!controller.includes("/")) {
      const message = `"${controller}" is not a controller name`;
      report({ path: "spec.controller", message, fix: "istio.io/ingress-controller" });
    }
  },
};
