// What a policy is for: workloads by their labels, or gateways of the Gateway API by name; without any, all workloads of
// the policy's namespace (in the root namespace: of the mesh).
import { type Fields, list, optional } from "../decode.ts";
import type { Report } from "../report.ts";
import {
  decodeTargetReference,
  decodeWorkloadSelector,
  type Labels,
  type PolicyTargetReference,
  selects,
  validateSelector,
  type WorkloadSelector,
  warnOfEmptySelector,
} from "./selector.ts";

export interface PolicyTarget {
  readonly selector?: WorkloadSelector;
  /** The older spelling of one of `targetRefs`. */
  readonly targetRef?: PolicyTargetReference;
  readonly targetRefs: readonly PolicyTargetReference[];
}

/** The fields of a target, for the decoder of a spec. */
export const policyTarget: Fields<PolicyTarget> = {
  selector: optional(decodeWorkloadSelector),
  targetRef: optional(decodeTargetReference),
  targetRefs: list(decodeTargetReference, 16),
};

export function targetsOf({ targetRef, targetRefs }: PolicyTarget): readonly PolicyTargetReference[] {
  return targetRef === undefined ? targetRefs : [targetRef];
}

/** Labels that the pods of a gateway of the Gateway API carry. */
const gatewayName = "gateway.networking.k8s.io/gateway-name";
const gatewayClassName = "gateway.networking.k8s.io/gateway-class-name";

/** Whom a policy may be for. */
export interface TargetedWorkload {
  readonly namespace: string;
  readonly labels: Labels;
  /** Of the mesh. */
  readonly rootNamespace: string;
}

interface TargetingPolicy {
  readonly namespace: string;
  readonly spec: PolicyTarget;
}

/** Tells whether a policy of the workload's namespace or of the root namespace is for the workload. */
export function isFor({ namespace, spec }: TargetingPolicy, workload: TargetedWorkload): boolean {
  const references = targetsOf(spec);
  if (references.length > 0) return references.some((reference) => isTargeted(reference, namespace, workload));
  return selects(spec.selector?.matchLabels ?? {}, workload.labels);
}

/**
 * Tells by the labels of a gateway's pod. Only gateways of the Gateway API can be targets: one of the policy's own
 * namespace, or all of a class from the root namespace.
 */
export function isTargeted(
  { kind, name }: PolicyTargetReference,
  policyNamespace: string,
  { namespace, labels, rootNamespace }: TargetedWorkload,
): boolean {
  if (kind === "Gateway") return policyNamespace === namespace && labels[gatewayName] === name;
  return kind === "GatewayClass" && policyNamespace === rootNamespace && labels[gatewayClassName] === name;
}

export function validateTarget(target: PolicyTarget, report: Report): void {
  const { selector, targetRef, targetRefs } = target;
  const set = [selector, targetRef, targetRefs.length > 0 ? targetRefs : undefined];
  if (set.filter((item) => item !== undefined).length > 1) {
    report({ path: "spec.selector", message: "only one of selector and targetRefs can be set" });
  }
  validateSelector(selector?.matchLabels ?? {}, "spec.selector.matchLabels", report);
  warnOfEmptySelector(selector?.matchLabels, "spec.selector", report);
  for (const [index, reference] of targetsOf(target).entries()) {
    const path = targetRef === undefined ? `spec.targetRefs[${index}]` : "spec.targetRef";
    validateTargetReference(reference, path, report);
  }
}

/** What Istio's webhook allows as targets. */
const allowedTargets: ReadonlySet<string> = new Set([
  "core/Service",
  "networking.istio.io/ServiceEntry",
  "gateway.networking.k8s.io/Gateway",
  "gateway.networking.k8s.io/GatewayClass",
]);

export function validateTargetReference(reference: PolicyTargetReference, path: string, report: Report): void {
  const { group, kind, name, namespace } = reference;
  if (kind === "" || name === "") report({ path, message: "kind and name are needed" });
  if (namespace !== "") report({ path: `${path}.namespace`, message: "namespace must be empty" });
  if (kind !== "" && !allowedTargets.has(`${group || "core"}/${kind}`)) {
    const known = [...allowedTargets].find((target) => target.endsWith(`/${kind}`));
    report({
      path: known === undefined ? `${path}.kind` : `${path}.group`,
      message: `a target cannot be of kind ${kind} in group "${group}"`,
      fix: known === undefined ? "Gateway in gateway.networking.k8s.io, for example" : `group: ${known.split("/")[0]}`,
    });
  }
}
