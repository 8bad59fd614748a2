// ReferenceGrant for the rest of the mesh.
import { decodeSpec, list, record, text } from "../../objects/decode.ts";
import type { Kind } from "../../objects/kind.ts";
import type { GrantedFrom, GrantedTo, ReferenceGrantSpec } from "./spec.ts";

const spec = record<ReferenceGrantSpec>({
  from: list(record<GrantedFrom>({ group: text, kind: text, namespace: text }), 16),
  to: list(record<GrantedTo>({ group: text, kind: text, name: text }), 16),
});

export const referenceGrant: Kind<ReferenceGrantSpec> = {
  kind: "ReferenceGrant",
  decode: (object, report) => decodeSpec(object, spec, report),
  validate({ from, to }, report) {
    if (from.length === 0) report({ path: "spec.from", message: "at least one entry is needed" });
    if (to.length === 0) report({ path: "spec.to", message: "at least one entry is needed" });
    for (const [index, entry] of from.entries()) {
      const path = `spec.from[${index}]`;
      if (entry.kind === "") report({ path, message: "a kind is needed" });
      if (entry.namespace === "") report({ path, message: "a namespace is needed" });
    }
    for (const [index, entry] of to.entries()) {
      if (entry.kind === "") report({ path: `spec.to[${index}]`, message: "a kind is needed" });
    }
  },
};
