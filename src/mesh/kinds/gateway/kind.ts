// Gateway for the rest of the mesh.
import type { Kind } from "../../objects/kind.ts";
import { decodeGateway } from "./decode.ts";

import type { GatewaySpec } from "./spec.ts";
import { validateGateway } from "./validate.ts";

export const gateway: Kind<GatewaySpec> = {
  kind: "Gateway",
  decode: decodeGateway,
  validate: validateGateway,
};
