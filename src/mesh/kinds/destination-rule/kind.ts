// DestinationRule for the rest of the mesh.
import type { Kind } from "../../objects/kind.ts";
import { decodeDestinationRule } from "./decode.ts";
import { expandDestinationRule } from "./names.ts";
import type { DestinationRuleSpec } from "./spec.ts";
import { validateDestinationRule } from "./validate.ts";

export const destinationRule: Kind<DestinationRuleSpec> = {
  kind: "DestinationRule",
  decode: decodeDestinationRule,
  validate: validateDestinationRule,
  expand: expandDestinationRule,
};
