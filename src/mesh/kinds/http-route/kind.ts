// HTTPRoute for the rest of the mesh.
import type { Kind } from "../../objects/kind.ts";
import { decodeHttpRoute } from "./decode.ts";
import type { HttpRouteSpec } from "./spec.ts";
import { validateHttpRoute } from "./validate.ts";

export const httpRoute: Kind<HttpRouteSpec> = {
  kind: "HTTPRoute",
  decode: decodeHttpRoute,
  validate: validateHttpRoute,
};
