// Reads a ProxyConfig.
import { decodeSpec, integer, optional, record, stringMap, text } from "../../objects/decode.ts";
import { decodeWorkloadSelector } from "../../objects/fields/selector.ts";
import type { KubernetesObject } from "../../objects/kubernetes-object.ts";
import type { Report } from "../../objects/report.ts";
import type { ProxyConfigSpec } from "./spec.ts";

const spec = record<ProxyConfigSpec>({
  selector: optional(decodeWorkloadSelector),
  concurrency: optional(integer(0, 2_147_483_647)),
  environmentVariables: stringMap,
  image: optional(record<NonNullable<ProxyConfigSpec["image"]>>({ imageType: text })),
});

export function decodeProxyConfig(object: KubernetesObject, report: Report): ProxyConfigSpec | undefined {
  return decodeSpec(object, spec, report);
}
