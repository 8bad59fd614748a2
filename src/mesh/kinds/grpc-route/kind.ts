// GRPCRoute for the rest of the mesh.
import type { Kind } from "../../objects/kind.ts";
import { decodeGrpcRoute } from "./decode.ts";
import type { GrpcRouteSpec } from "./spec.ts";
import { validateGrpcRoute } from "./validate.ts";

export const grpcRoute: Kind<GrpcRouteSpec> = {
  kind: "GRPCRoute",
  decode: decodeGrpcRoute,
  validate: validateGrpcRoute,
};
