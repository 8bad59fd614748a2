// ServiceEntry as decoded.
import type { Port } from "../../objects/fields/port.ts";
import type { LabelSelector } from "../../objects/fields/selector.ts";
import type { WorkloadAddress } from "../../objects/fields/workload.ts";

export const EntryLocation = { MeshExternal: "MESH_EXTERNAL", MeshInternal: "MESH_INTERNAL" } as const;
export type EntryLocation = (typeof EntryLocation)[keyof typeof EntryLocation];

export const EntryResolution = {
  None: "NONE",
  Static: "STATIC",
  Dns: "DNS",
  DnsRoundRobin: "DNS_ROUND_ROBIN",
  DynamicDns: "DYNAMIC_DNS",
} as const;
export type EntryResolution = (typeof EntryResolution)[keyof typeof EntryResolution];

export interface ServiceEntrySpec {
  readonly hosts: readonly string[];
  /** VIPs or CIDR blocks. */
  readonly addresses: readonly string[];
  readonly ports: readonly Port[];
  readonly location: EntryLocation;
  readonly resolution: EntryResolution;
  readonly endpoints: readonly WorkloadAddress[];
  readonly workloadSelector?: LabelSelector;
  /** Empty means the mesh's default. */
  readonly exportTo: readonly string[];
  readonly subjectAltNames: readonly string[];
  /** From `status.addresses`: what was allocated before, by host. */
  readonly assignedAddresses: readonly AssignedAddress[];
}

export interface AssignedAddress {
  readonly host: string;
  readonly value: string;
}
