// Reads a DestinationRule.
import { decodeSpec, list, optional, record, stringMap, strings, text } from "../../objects/decode.ts";
import { decodeWorkloadSelector } from "../../objects/fields/selector.ts";
import { decodeTrafficPolicy } from "../../objects/fields/traffic-policy-decode.ts";
import type { KubernetesObject } from "../../objects/kubernetes-object.ts";
import type { Report } from "../../objects/report.ts";
import type { DestinationRuleSpec, Subset } from "./spec.ts";

const spec = record<DestinationRuleSpec>({
  host: text,
  trafficPolicy: optional(decodeTrafficPolicy),
  subsets: list(record<Subset>({ name: text, labels: stringMap, trafficPolicy: optional(decodeTrafficPolicy) })),
  exportTo: strings,
  workloadSelector: optional(decodeWorkloadSelector),
});

export function decodeDestinationRule(object: KubernetesObject, report: Report): DestinationRuleSpec | undefined {
  return decodeSpec(object, spec, report);
}
