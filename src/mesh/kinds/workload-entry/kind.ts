// WorkloadEntry for the rest of the mesh.
import type { Kind } from "../../objects/kind.ts";
import { decodeWorkloadEntry } from "./decode.ts";

import type { WorkloadEntrySpec } from "./spec.ts";
import { validateWorkloadEntry } from "./validate.ts";

export const workloadEntry: Kind<WorkloadEntrySpec> = {
  kind: "WorkloadEntry",
  decode: decodeWorkloadEntry,
  validate: validateWorkloadEntry,
};
