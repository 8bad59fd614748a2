// ServiceEntry for the rest of the mesh.
import type { Kind } from "../../objects/kind.ts";
import { decodeServiceEntry } from "./decode.ts";

import type { ServiceEntrySpec } from "./spec.ts";
import { validateServiceEntry } from "./validate.ts";

export const serviceEntry: Kind<ServiceEntrySpec> = {
  kind: "ServiceEntry",
  decode: decodeServiceEntry,
  validate: validateServiceEntry,
};
