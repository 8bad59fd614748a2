// AuthorizationPolicy for the rest of the mesh.
import type { Kind } from "../../objects/kind.ts";
import { decodeAuthorizationPolicy } from "./decode.ts";

import type { AuthorizationPolicySpec } from "./spec.ts";
import { validateAuthorizationPolicy } from "./validate.ts";

export const authorizationPolicy: Kind<AuthorizationPolicySpec> = {
  kind: "AuthorizationPolicy",
  decode: decodeAuthorizationPolicy,
  validate: validateAuthorizationPolicy,
};
