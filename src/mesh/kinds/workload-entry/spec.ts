// WorkloadEntry as decoded: one workload outside Kubernetes.
import type { WorkloadAddress } from "../../objects/fields/workload.ts";

export type WorkloadEntrySpec = WorkloadAddress;
