// EnvoyFilter for the rest of the mesh.
import type { Kind } from "../../objects/kind.ts";
import { decodeEnvoyFilter } from "./decode.ts";

import type { EnvoyFilterSpec } from "./spec.ts";
import { validateEnvoyFilter } from "./validate.ts";

export const envoyFilter: Kind<EnvoyFilterSpec> = {
  kind: "EnvoyFilter",
  decode: decodeEnvoyFilter,
  validate: validateEnvoyFilter,
};
