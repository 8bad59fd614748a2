// Which pods go first when there are too many: those that are of least use (k8s.io/kubernetes ActivePodsWithRanks).

import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { fieldAt } from "../../store/json.ts";
import { isReady, podPhase } from "../pod-state.ts";

const costAnnotation = "controller.kubernetes.io/pod-deletion-cost";

export function podsToRemove(active: readonly KubernetesObject[], count: number): readonly KubernetesObject[] {
  return [...active].sort(compare).slice(0, count);
}

function compare(a: KubernetesObject, b: KubernetesObject): number {
  const ranksA = ranks(a);
  const ranksB = ranks(b);
  for (const [index, rank] of ranksA.entries()) {
    const difference = rank - (ranksB[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return a.metadata.name < b.metadata.name ? -1 : 1;
}

/** Lower goes first: without a node, not running, not ready, cheap, young. */
function ranks(pod: KubernetesObject): readonly number[] {
  return [
    fieldAt(pod, "spec", "nodeName") ? 1 : 0,
    podPhase(pod) === "Running" ? 1 : 0,
    isReady(pod) ? 1 : 0,
    Number(pod.metadata.annotations?.[costAnnotation] ?? 0) || 0,
    -Date.parse(pod.metadata.creationTimestamp ?? ""),
  ];
}
