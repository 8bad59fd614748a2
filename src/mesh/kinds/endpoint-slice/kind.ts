// EndpointSlice for the rest of the mesh.
import type { Kind } from "../../objects/kind.ts";
import { decodeEndpointSlice } from "./decode.ts";

import type { EndpointSliceSpec } from "./spec.ts";

export const endpointSlice: Kind<EndpointSliceSpec> = {
  kind: "EndpointSlice",
  decode: decodeEndpointSlice,
  validate: () => {},
};
