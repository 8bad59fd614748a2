// RequestAuthentication for the rest of the mesh.
import type { Kind } from "../../objects/kind.ts";
import { decodeRequestAuthentication } from "./decode.ts";
import type { RequestAuthenticationSpec } from "./spec.ts";
import { validateRequestAuthentication } from "./validate.ts";

export const requestAuthentication: Kind<RequestAuthenticationSpec> = {
  kind: "RequestAuthentication",
  decode: decodeRequestAuthentication,
  validate: validateRequestAuthentication,
};
