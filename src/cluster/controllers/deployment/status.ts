// The status of a Deployment: counts and the conditions Available and Progressing.

import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { asArray, asRecord, fieldAt, type JsonRecord } from "../../store/json.ts";
import { type Condition, withCondition } from "../conditions.ts";
import type { RolloutLimits } from "./rollout.ts";

export interface StatusInput {
  readonly limits: RolloutLimits;
  readonly current: KubernetesObject | undefined;
  readonly all: readonly KubernetesObject[];
  readonly collisions: number;
  readonly nowMs: number;
}

export function deploymentStatus(deployment: KubernetesObject, input: StatusInput): JsonRecord {
  const { limits, current, all, collisions, nowMs } = input;
  const before = asRecord(deployment["status"]);
  const counts = {
    replicas: total(all, "replicas"),
    updatedReplicas: current === undefined ? 0 : total([current], "replicas"),
    readyReplicas: total(all, "readyReplicas"),
    availableReplicas: total(all, "availableReplicas"),
  };
  const isAvailable = counts.availableReplicas >= limits.replicas - limits.maxUnavailable;
  const available: Condition = isAvailable
    ? condition("Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    : condition("Available", "False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.");
  const conditions = withCondition(asArray(before["conditions"]), available, nowMs, true);
  return {
    observedGeneration: deployment.metadata.generation,
    ...counts,
    unavailableReplicas: Math.max(0, Math.max(limits.replicas, counts.replicas) - counts.availableReplicas),
    ...(collisions === 0 ? {} : { collisionCount: collisions }),
    conditions: withCondition(conditions, progressing(deployment, counts, input, before), nowMs, true),
  };
}

/** Milliseconds until a rollout that stands still counts as failed; undefined when it is complete or has failed. */
export function deadlineInMs(deployment: KubernetesObject, status: JsonRecord, nowMs: number): number | undefined {
  const state = progressingOf(status);
  const seconds = fieldAt(deployment, "spec", "progressDeadlineSeconds");
  if (typeof seconds !== "number" || state === undefined || state["status"] !== "True") return undefined;
  if (state["reason"] === "NewReplicaSetAvailable") return undefined;
  return Math.max(0, Date.parse(String(state["lastUpdateTime"])) + seconds * 1000 - nowMs);
}

interface Counts {
  readonly replicas: number;
  readonly updatedReplicas: number;
  readonly availableReplicas: number;
}

function progressing(deployment: KubernetesObject, counts: Counts, input: StatusInput, before: JsonRecord): Condition {
  const { limits, current, nowMs } = input;
  const name = current === undefined ? "" : `ReplicaSet "${current.metadata.name}"`;
  const isComplete =
    counts.updatedReplicas === limits.replicas &&
    counts.replicas === limits.replicas &&
    counts.availableReplicas === limits.replicas;
  if (isComplete)
    return condition("Progressing", "True", "NewReplicaSetAvailable", `${name} has successfully progressed.`);
  const moved = ["replicas", "updatedReplicas", "availableReplicas"].some(
    (field) => Number(before[field] ?? 0) !== counts[field as keyof Counts],
  );
  const wasComplete = progressingOf(before)?.["reason"] === "NewReplicaSetAvailable";
  const hasFailed = progressingOf(before)?.["status"] === "False";
  const isLate = hasFailed || deadlineInMs(deployment, before, nowMs) === 0;
  if (isLate && !moved && !wasComplete) {
    return condition("Progressing", "False", "ProgressDeadlineExceeded", `${name} has timed out progressing.`);
  }
  return condition(
    "Progressing",
    "True",
    "ReplicaSetUpdated",
    `${name} is progressing: ${counts.updatedReplicas} updated, ${counts.availableReplicas} available of ${limits.replicas}.`,
  );
}

function progressingOf(status: JsonRecord): JsonRecord | undefined {
  return asArray(status["conditions"])
    .map(asRecord)
    .find((item) => item["type"] === "Progressing");
}

function condition(type: string, status: "True" | "False", reason: string, message: string): Condition {
  return { type, status, reason, message };
}

function total(replicaSets: readonly KubernetesObject[], field: string): number {
  return replicaSets.reduce((sum, replicaSet) => sum + Number(fieldAt(replicaSet, "status", field) ?? 0), 0);
}
