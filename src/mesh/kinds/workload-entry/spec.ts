// WorkloadEntry as decoded: one workload outside Kubernetes.
import type { WorkloadAddress } from "../../objects/fields/workload.ts";

export interface WorkloadEntrySpec extends WorkloadAddress {
  /** What its agent says of it; without health checks it is taken to be well. */
  readonly isHealthy: boolean;
}
