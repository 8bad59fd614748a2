// ConfigMap for the rest of the mesh: trusted roots, which a BackendTLSPolicy may name.
import { lenientRecord, stringMap } from "../../objects/decode.ts";
import type { Kind } from "../../objects/kind.ts";
import type { ConfigMapSpec } from "./spec.ts";

const content = lenientRecord<{ readonly data: Readonly<Record<string, string>> }>({ data: stringMap });

export const configMap: Kind<ConfigMapSpec> = {
  kind: "ConfigMap",
  decode(object, report) {
    const decoded = content(object, undefined, report);
    const roots = decoded?.data["cacert"] ?? decoded?.data["ca.crt"];
    return roots === undefined ? {} : { roots };
  },
  validate: () => {},
};
