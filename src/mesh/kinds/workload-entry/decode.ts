// Reads a WorkloadEntry.
import { decodeSpec } from "../../objects/decode.ts";
import { decodeWorkloadAddress } from "../../objects/fields/workload.ts";
import type { KubernetesObject } from "../../objects/kubernetes-object.ts";
import type { Report } from "../../objects/report.ts";
import type { WorkloadEntrySpec } from "./spec.ts";

export function decodeWorkloadEntry(object: KubernetesObject, report: Report): WorkloadEntrySpec | undefined {
  return decodeSpec(object, decodeWorkloadAddress, report);
}
