// Service for the rest of the mesh.
import type { Kind } from "../../objects/kind.ts";
import { decodeService } from "./decode.ts";

import type { ServiceSpec } from "./spec.ts";

export const service: Kind<ServiceSpec> = {
  kind: "Service",
  decode: decodeService,
  validate: () => {},
};
