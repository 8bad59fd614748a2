// One workload outside Kubernetes: the spec of a WorkloadEntry, and an endpoint of a ServiceEntry.
import { count, type Decoder, map, record, stringMap, text, uint32 } from "../decode.ts";
import type { Labels } from "./selector.ts";

export interface WorkloadAddress {
  /** IP, DNS name, or `unix://...`. Empty when only the network is known. */
  readonly address: string;
  /** Service port name → port, over the service's target port. */
  readonly ports: Readonly<Record<string, number>>;
  readonly labels: Labels;
  readonly network: string;
  /** `region/zone/subzone` */
  readonly locality: string;
  /** 0 means not set, which counts as 1. */
  readonly weight: number;
  readonly serviceAccount: string;
}

export const decodeWorkloadAddress: Decoder<WorkloadAddress> = record<WorkloadAddress>({
  address: text,
  ports: map(uint32),
  labels: stringMap,
  network: text,
  locality: text,
  weight: count,
  serviceAccount: text,
});
