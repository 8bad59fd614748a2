// ConfigMap for the rest of the mesh: trusted roots, which a BackendTLSPolicy or a Gateway may name, and parameters of
// Gateways.
import { lenientRecord, stringMap } from "../../objects/decode.ts";
import type { Kind } from "../../objects/kind.ts";
import { type ConfigMapSpec, infrastructureParts } from "./spec.ts";

const content = lenientRecord<{ readonly data: Readonly<Record<string, string>> }>({ data: stringMap });

export const configMap: Kind<ConfigMapSpec> = {
  kind: "ConfigMap",
  decode(object, report) {
    const { data = {} } = content(object, undefined, report) ?? {};
    const roots = data["cacert"] ?? data["ca.crt"];
    const parts = infrastructureParts.filter((part) => Object.hasOwn(data, part));
    return {
      ...(roots !== undefined && { roots }),
      ...(parts.length > 0 && { infrastructure: Object.fromEntries(parts.map((part) => [part, data[part] ?? ""])) }),
    };
  },
  validate: () => {},
};
