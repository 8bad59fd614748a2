// Namespace for the rest of the mesh: its labels are all that is read.
import type { Kind } from "../../objects/kind.ts";
import type { NamespaceSpec } from "./spec.ts";

export const namespace: Kind<NamespaceSpec> = {
  kind: "Namespace",
  decode: () => ({}),
  validate: () => {},
};
