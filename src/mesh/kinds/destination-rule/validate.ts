// Rules for DestinationRules that the types of their fields cannot say (reference 1.15).
import { validateLabels, validateSelector, warnOfEmptySelector } from "../../objects/fields/selector.ts";
import { validateTrafficPolicy } from "../../objects/fields/traffic-policy-validate.ts";
import type { KubernetesObject } from "../../objects/kubernetes-object.ts";
import type { Report } from "../../objects/report.ts";
import { validateExportTo, validateHost, validateSubsetName } from "../../objects/validate-names.ts";
import type { DestinationRuleSpec } from "./spec.ts";

export function validateDestinationRule(spec: DestinationRuleSpec, report: Report, object: KubernetesObject): void {
  const namespace = object.metadata.namespace ?? "";
  validateHost(spec.host, "spec.host", report);
  validateExportTo(spec.exportTo, namespace, report);
  if (spec.trafficPolicy !== undefined) validateTrafficPolicy(spec.trafficPolicy, "spec.trafficPolicy", report);
  const names = new Set<string>();
  for (const [index, subset] of spec.subsets.entries()) {
    const path = `spec.subsets[${index}]`;
    if (subset.name === "") report({ path, message: "the subset needs a name" });
    else validateSubsetName(subset.name, `${path}.name`, report);
    if (names.has(subset.name)) report({ path: `${path}.name`, message: `the subset ${subset.name} stands twice` });
    names.add(subset.name);
    validateLabels(subset.labels, `${path}.labels`, report);
    if (subset.trafficPolicy !== undefined)
      validateTrafficPolicy(subset.trafficPolicy, `${path}.trafficPolicy`, report);
  }
  if (spec.workloadSelector === undefined) return;
  validateSelector(spec.workloadSelector.matchLabels, "spec.workloadSelector.matchLabels", report);
  warnOfEmptySelector(spec.workloadSelector.matchLabels, "spec.workloadSelector", report);
  const isLocal = spec.exportTo.length === 1 && (spec.exportTo[0] === "." || spec.exportTo[0] === namespace);
  if (spec.exportTo.length > 0 && !isLocal) {
    report({
      path: "spec.exportTo",
      message: "a rule with a workloadSelector is for its own namespace only",
      fix: 'exportTo: ["."]',
    });
  }
}
