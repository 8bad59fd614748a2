// Reads a ServiceEntry.
import {
  array,
  decodeSpec,
  list,
  oneOf,
  optional,
  record,
  string,
  strings,
  withDefault,
} from "../../objects/decode.ts";
import { decodePort } from "../../objects/fields/port.ts";
import { decodeLabelSelector } from "../../objects/fields/selector.ts";
import { decodeWorkloadAddress } from "../../objects/fields/workload.ts";
import type { KubernetesObject } from "../../objects/kubernetes-object.ts";
import type { Report } from "../../objects/report.ts";
import { type AssignedAddress, EntryLocation, EntryResolution, type ServiceEntrySpec } from "./spec.ts";

const spec = record<Omit<ServiceEntrySpec, "assignedAddresses">>({
  hosts: withDefault(array(string, 256), []),
  addresses: withDefault(array(string, 256), []),
  ports: list(decodePort, 256),
  location: withDefault(oneOf(Object.values(EntryLocation)), EntryLocation.MeshExternal),
  resolution: withDefault(oneOf(Object.values(EntryResolution)), EntryResolution.None),
  endpoints: list(decodeWorkloadAddress, 4096),
  workloadSelector: optional(decodeLabelSelector),
  exportTo: strings,
  subjectAltNames: strings,
});

export function decodeServiceEntry(object: KubernetesObject, report: Report): ServiceEntrySpec | undefined {
  const decoded = decodeSpec(object, spec, report);
  return decoded && { ...decoded, assignedAddresses: assignedAddresses(object["status"]) };
}

/** A status is the control plane's own: what is strange in it is left out, and nobody is to blame. */
function assignedAddresses(status: unknown): AssignedAddress[] {
  const addresses: unknown = typeof status === "object" && status !== null && "addresses" in status && status.addresses;
  if (!Array.isArray(addresses)) return [];
  return addresses.flatMap((item: unknown) =>
    typeof item === "object" &&
    item !== null &&
    "host" in item &&
    "value" in item &&
    typeof item.host === "string" &&
    typeof item.value === "string"
      ? [{ host: item.host, value: item.value }]
      : [],
  );
}
