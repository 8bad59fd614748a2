// Secret for the rest of the mesh.
import type { Kind } from "../../objects/kind.ts";
import { decodeSecret } from "./decode.ts";
import type { SecretSpec } from "./spec.ts";

export const secret: Kind<SecretSpec> = {
  kind: "Secret",
  decode: decodeSecret,
  validate: () => {},
};
