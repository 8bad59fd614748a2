// Which workloads or resources a policy is for.
import { type Decoder, record, stringMap, text } from "../decode.ts";
import type { Report } from "../report.ts";
import { warn } from "../validate-names.ts";

export type Labels = Readonly<Record<string, string>>;

/** AND of exact label equality; no labels selects every workload of the scope. */
export interface WorkloadSelector {
  readonly matchLabels: Labels;
}

/** The older spelling, as Sidecar and ServiceEntry use it. */
export interface LabelSelector {
  readonly labels: Labels;
}

export interface PolicyTargetReference {
  readonly group: string;
  readonly kind: string;
  readonly name: string;
  readonly namespace: string;
}

/** Tells whether a workload with these labels is selected; an empty selector selects all. */
export function selects(selector: Labels, labels: Labels): boolean {
  for (const key in selector) if (labels[key] !== selector[key]) return false;
  return true;
}

/** A selector of Kubernetes: labels and expressions, all of which have to hold. */
export interface KubernetesSelector {
  readonly matchLabels?: Labels;
  readonly matchExpressions?: readonly {
    readonly key: string;
    readonly operator: string;
    readonly values?: readonly string[];
  }[];
}

/** An empty selector matches everything; an unknown operator matches nothing. */
export function matchesKubernetesSelector(selector: KubernetesSelector, labels: Labels): boolean {
  if (!selects(selector.matchLabels ?? {}, labels)) return false;
  return (selector.matchExpressions ?? []).every(({ key, operator, values = [] }) => {
    const value = labels[key];
    switch (operator) {
      case "In":
        return value !== undefined && values.includes(value);
      case "NotIn":
        return value === undefined || !values.includes(value);
      case "Exists":
        return value !== undefined;
      case "DoesNotExist":
        return value === undefined;
      default:
        return false;
    }
  });
}

export const decodeWorkloadSelector: Decoder<WorkloadSelector> = record<WorkloadSelector>({ matchLabels: stringMap });

export const decodeLabelSelector: Decoder<LabelSelector> = record<LabelSelector>({ labels: stringMap });

export const decodeTargetReference: Decoder<PolicyTargetReference> = record<PolicyTargetReference>({
  group: text,
  kind: text,
  name: text,
  namespace: text,
});

/** Reports keys that are empty, and wildcards, which a selector does not know. */
export function validateSelector(labels: Labels, path: string, report: Report): void {
  for (const [key, value] of Object.entries(labels)) {
    if (key === "") report({ path, message: "a label key is empty" });
    if (key.includes("*") || value.includes("*")) {
      report({ path, message: `wildcards are not allowed in selectors: "${key}: ${value}"` });
    }
    if (key.length > 317 || value.length > 63) report({ path, message: `the label "${key.slice(0, 40)}" is too long` });
  }
}

/** Reports a selector that is there and selects everything, which is hardly ever meant. */
export function warnOfEmptySelector(labels: Labels | undefined, path: string, report: Report): void {
  if (labels === undefined || Object.keys(labels).length > 0) return;
  report(warn(path, "a selector without labels is for all workloads", "name labels, or leave the selector out"));
}

/** Reports labels that no object can carry. */
export function validateLabels(labels: Labels, path: string, report: Report): void {
  for (const [key, value] of Object.entries(labels)) {
    if (!labelKey.test(key)) report({ path, message: `"${key}" is not a label key` });
    if (!labelValue.test(value)) report({ path, message: `"${value}" is not a label value` });
  }
}

const labelKey =
  /^(?:[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*\/)?[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;
const labelValue = /^(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/;
