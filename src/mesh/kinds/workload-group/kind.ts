// WorkloadGroup for the rest of the mesh.
import type { Kind } from "../../objects/kind.ts";
import { decodeWorkloadGroup } from "./decode.ts";
import type { WorkloadGroupSpec } from "./spec.ts";
import { validateWorkloadGroup } from "./validate.ts";

export const workloadGroup: Kind<WorkloadGroupSpec> = {
  kind: "WorkloadGroup",
  decode: decodeWorkloadGroup,
  validate: validateWorkloadGroup,
};
