// Reads a WorkloadEntry.
import { decodeSpec } from "../../objects/decode.ts";
import { decodeWorkloadAddress } from "../../objects/fields/workload.ts";
import type { KubernetesObject } from "../../objects/kubernetes-object.ts";
import type { Report } from "../../objects/report.ts";
import type { WorkloadEntrySpec } from "./spec.ts";

export function decodeWorkloadEntry(object: KubernetesObject, report: Report): WorkloadEntrySpec | undefined {
  const decoded = decodeSpec(object, decodeWorkloadAddress, report);
  return decoded && { ...decoded, isHealthy: isHealthy(object) };
}

/** One that has health checks is not well before the first of them says so. */
function isHealthy({ metadata, status }: KubernetesObject): boolean {
  const checks = metadata.annotations?.["proxy.istio.io/health-checks-enabled"];
  if (checks === undefined || !/^(1|t|true)$/i.test(checks)) return true;
  const conditions: unknown =
    typeof status === "object" && status !== null && "conditions" in status ? status.conditions : undefined;
  if (!Array.isArray(conditions)) return false;
  return conditions.some(
    (item: unknown) =>
      typeof item === "object" &&
      item !== null &&
      "type" in item &&
      "status" in item &&
      item.type === "Healthy" &&
      item.status === "True",
  );
}
