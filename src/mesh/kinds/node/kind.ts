// Node for the rest of the mesh.
import type { Kind } from "../../objects/kind.ts";
import { decodeNode } from "./decode.ts";

import type { NodeSpec } from "./spec.ts";

export const node: Kind<NodeSpec> = {
  kind: "Node",
  decode: decodeNode,
  validate: () => {},
};
