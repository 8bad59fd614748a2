// Rules for WorkloadEntries.

import { validateWorkloadAddress } from "../../objects/fields/workload-validate.ts";
import type { Report } from "../../objects/report.ts";
import type { WorkloadEntrySpec } from "./spec.ts";

export function validateWorkloadEntry(spec: WorkloadEntrySpec, report: Report): void {
  validateWorkloadAddress(spec, "spec", report);
}
