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
import { EntryLocation, EntryResolution, type ServiceEntrySpec } from "./spec.ts";

const spec = record<ServiceEntrySpec>({
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
  return decodeSpec(object, spec, report);
}
