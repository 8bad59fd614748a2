// Keeps as many pods as a ReplicaSet wants. Pods are made through admission; what fails is told in an event and tried
// again, at once when a webhook's endpoints change.
import { describeError } from "#base/error.ts";
import type { Running } from "#base/lifecycle.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { systemUser } from "../../admission/attributes.ts";
import { builtInEntry } from "../../apiserver/registry.ts";
import { asArray, asRecord, fieldAt, jsonEqual } from "../../store/json.ts";
import { pods, replicaSets } from "../../store/resources.ts";
import type { ObjectStore } from "../../store/store.ts";
import { withCondition, withoutCondition } from "../conditions.ts";
import { splitKey } from "../controller.ts";
import type { RecordEvent } from "../event-recorder.ts";
import type { ControllerContext } from "../options.ts";
import { ownedPods, removeOwnedPod, runPodOwner } from "../owned-pods.ts";
import { availableInMs, isActive, isReady } from "../pod-state.ts";
import { podFromTemplate } from "../pod-template.ts";
import { podsToRemove } from "./removal-order.ts";

const podEntry = builtInEntry(pods);
const user = systemUser("serviceaccount:kube-system:replicaset-controller");

export function startReplicaSetController(context: ControllerContext): Running {
  return runPodOwner(context, { name: "replicaset-controller", resource: replicaSets, kind: "ReplicaSet", reconcile });
}

/** Returns after how many milliseconds to look again, when a ready pod is not yet available. */
async function reconcile(context: ControllerContext, key: string, record: RecordEvent): Promise<number | undefined> {
  const { store, clock } = context;
  const replicaSet = store.get(replicaSets, ...splitKey(key));
  if (replicaSet === undefined || replicaSet.metadata.deletionTimestamp !== undefined) return undefined;
  const active = activePods(store, replicaSet);
  const missing = Number(fieldAt(replicaSet, "spec", "replicas") ?? 1) - active.length;
  let failure: unknown;
  if (missing > 0) failure = await createPods(context, replicaSet, missing, record);
  if (missing < 0) {
    for (const pod of podsToRemove(active, -missing)) removeOwnedPod(store, replicaSet, pod, record);
  }
  const minReadySeconds = Number(fieldAt(replicaSet, "spec", "minReadySeconds") ?? 0);
  const waits = activePods(store, replicaSet).flatMap((pod) => availableInMs(pod, minReadySeconds, clock.now()) ?? []);
  writeStatus(context, key, waits, failure);
  if (failure !== undefined) throw failure;
  const soonest = Math.min(...waits.filter((wait) => wait > 0));
  return Number.isFinite(soonest) ? soonest : undefined;
}

function activePods(store: ObjectStore, replicaSet: KubernetesObject): readonly KubernetesObject[] {
  return ownedPods(store, replicaSet).filter(isActive);
}

/** Makes pods in growing batches, so that what fails for one does not fail for hundreds. Returns the first failure. */
async function createPods(
  { admission }: ControllerContext,
  replicaSet: KubernetesObject,
  count: number,
  record: RecordEvent,
): Promise<unknown> {
  const template = podFromTemplate(replicaSet, {});
  for (let left = count, size = 1; left > 0; size *= 2) {
    const batch = Math.min(left, size);
    left -= batch;
    const results = await Promise.allSettled(
      Array.from({ length: batch }, () => admission.create(podEntry, template, { user })),
    );
    let failure: unknown;
    for (const result of results) {
      if (result.status === "fulfilled") {
        record(replicaSet, {
          type: "Normal",
          reason: "SuccessfulCreate",
          message: `Created pod: ${result.value.metadata.name}`,
        });
      } else {
        failure ??= result.reason;
      }
    }
    if (failure === undefined) continue;
    record(replicaSet, {
      type: "Warning",
      reason: "FailedCreate",
      message: `Error creating: ${describeError(failure)}`,
    });
    return failure;
  }
  return undefined;
}

function writeStatus(context: ControllerContext, key: string, waits: readonly number[], failure: unknown): void {
  const { store, clock } = context;
  const replicaSet = store.get(replicaSets, ...splitKey(key));
  if (replicaSet === undefined) return;
  const active = activePods(store, replicaSet);
  const before = asRecord(replicaSet["status"]);
  const conditions = asArray(before["conditions"]);
  const failed = {
    type: "ReplicaFailure",
    status: "True",
    reason: "FailedCreate",
    message: describeError(failure),
  } as const;
  const next =
    failure === undefined
      ? withoutCondition(conditions, "ReplicaFailure")
      : withCondition(conditions, failed, clock.now());
  const status = {
    replicas: active.length,
    fullyLabeledReplicas: active.length,
    readyReplicas: active.filter(isReady).length,
    availableReplicas: waits.filter((wait) => wait === 0).length,
    observedGeneration: replicaSet.metadata.generation,
    ...(next.length === 0 ? {} : { conditions: next }),
  };
  if (!jsonEqual(before, status)) store.updateStatus(replicaSets, { ...replicaSet, status });
}
