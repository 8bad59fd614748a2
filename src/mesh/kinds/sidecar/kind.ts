// Sidecar for the rest of the mesh.
import type { Kind } from "../../objects/kind.ts";
import { decodeSidecar } from "./decode.ts";

import type { SidecarSpec } from "./spec.ts";
import { validateSidecar } from "./validate.ts";

export const sidecar: Kind<SidecarSpec> = {
  kind: "Sidecar",
  decode: decodeSidecar,
  validate: validateSidecar,
};
