// What controllers ask of a pod.

import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { asArray, asRecord, fieldAt, type JsonRecord } from "../store/json.ts";

export function podPhase(pod: KubernetesObject): string {
  return String(fieldAt(pod, "status", "phase") ?? "Pending");
}

export function hasEnded(pod: KubernetesObject): boolean {
  const phase = podPhase(pod);
  return phase === "Succeeded" || phase === "Failed";
}

export function isTerminating(object: KubernetesObject): boolean {
  return object.metadata.deletionTimestamp !== undefined;
}

/** Counts as a replica: neither ended nor about to. */
export function isActive(pod: KubernetesObject): boolean {
  return !hasEnded(pod) && !isTerminating(pod);
}

export function isReady(pod: KubernetesObject): boolean {
  return readyCondition(pod)?.["status"] === "True";
}

/** Milliseconds until a ready pod counts as available; 0 when it does, undefined when it is not ready. */
export function availableInMs(pod: KubernetesObject, minReadySeconds: number, nowMs: number): number | undefined {
  const condition = readyCondition(pod);
  if (condition?.["status"] !== "True") return undefined;
  if (minReadySeconds === 0) return 0;
  const since = Date.parse(String(condition["lastTransitionTime"] ?? ""));
  return Number.isNaN(since) ? minReadySeconds * 1000 : Math.max(0, since + minReadySeconds * 1000 - nowMs);
}

function readyCondition(pod: KubernetesObject): JsonRecord | undefined {
  return asArray(fieldAt(pod, "status", "conditions"))
    .map(asRecord)
    .find((condition) => condition["type"] === "Ready");
}
