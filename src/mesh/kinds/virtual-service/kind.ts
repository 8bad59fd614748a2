// VirtualService for the rest of the mesh.
import type { Kind } from "../../objects/kind.ts";
import { decodeVirtualService } from "./decode.ts";
import { expandVirtualService } from "./names.ts";
import type { VirtualServiceSpec } from "./spec.ts";
import { validateVirtualService } from "./validate.ts";

export const virtualService: Kind<VirtualServiceSpec> = {
  kind: "VirtualService",
  decode: decodeVirtualService,
  validate: validateVirtualService,
  expand: expandVirtualService,
};
