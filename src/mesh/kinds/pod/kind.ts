// Pod for the rest of the mesh.
import type { Kind } from "../../objects/kind.ts";
import { decodePod } from "./decode.ts";

import type { PodSpec } from "./spec.ts";

export const pod: Kind<PodSpec> = {
  kind: "Pod",
  decode: decodePod,
  validate: () => {},
};
