// Keeps as many pods as a ReplicaSet wants. Pods are made through admission; what fails is told in an event and tried
// again, at once when a webhook's endpoints change.

import { describeError, hasCode } from "#base/error.ts";
import type { Running } from "#base/lifecycle.ts";
import type { KubernetesObject, ObjectMeta } from "#mesh/objects/kubernetes-object.ts";
import { systemUser } from "../../admission/attributes.ts";
import { builtInEntry } from "../../apiserver/registry.ts";
import { asArray, asRecord, fieldAt, jsonEqual } from "../../store/json.ts";
import { endpointSlices, mutatingWebhooks, pods, replicaSets } from "../../store/resources.ts";
import type { ObjectStore } from "../../store/store.ts";
import { withCondition, withoutCondition } from "../conditions.ts";
import { controllerReference, isControlledBy, keyOf, ownerKeys, runController, splitKey } from "../controller.ts";
import { eventRecorder, type RecordEvent } from "../event-recorder.ts";
import type { ControllerContext } from "../options.ts";
import { availableInMs, isActive, isReady } from "../pod-state.ts";
import { podsToRemove } from "./removal-order.ts";

const podEntry = builtInEntry(pods);
const user = systemUser("serviceaccount:kube-system:replicaset-controller");

export function startReplicaSetController(context: ControllerContext): Running {
  const { store, clock } = context;
  const record = eventRecorder(store, clock, "replicaset-controller");
  const running = runController(context, {
    name: "replicaset-controller",
    triggers: [
      { resource: replicaSets, keys: (object) => [keyOf(object)] },
      { resource: pods, keys: ownerKeys("ReplicaSet") },
    ],
    reconcile: async (key, queue) => {
      const delayMs = await reconcile(context, key, record);
      if (delayMs !== undefined) queue.addAfter(key, delayMs);
    },
  });
  // A pod that could not be made because its webhook did not answer can be as soon as it does.
  const unsubscribe = [endpointSlices, mutatingWebhooks].map((resource) =>
    store.watch(resource, {}, ({ object }) => {
      if (concernsWebhook(store, object)) running.queue.retryFailed();
    }),
  );
  return {
    stop: async () => {
      for (const end of unsubscribe) end();
      await running.stop();
    },
  };
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
  if (missing < 0) removePods(store, replicaSet, podsToRemove(active, -missing), record);
  const minReadySeconds = Number(fieldAt(replicaSet, "spec", "minReadySeconds") ?? 0);
  const waits = activePods(store, replicaSet).flatMap((pod) => availableInMs(pod, minReadySeconds, clock.now()) ?? []);
  writeStatus(context, key, waits, failure);
  if (failure !== undefined) throw failure;
  const soonest = Math.min(...waits.filter((wait) => wait > 0));
  return Number.isFinite(soonest) ? soonest : undefined;
}

function activePods(store: ObjectStore, replicaSet: KubernetesObject): readonly KubernetesObject[] {
  const namespace = replicaSet.metadata.namespace ?? "";
  return store.list(pods, { namespace }).items.filter((pod) => isControlledBy(pod, replicaSet) && isActive(pod));
}

/** Makes pods in growing batches, so that what fails for one does not fail for hundreds. Returns the first failure. */
async function createPods(
  { admission }: ControllerContext,
  replicaSet: KubernetesObject,
  count: number,
  record: RecordEvent,
): Promise<unknown> {
  const template = podFromTemplate(replicaSet);
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

function podFromTemplate(replicaSet: KubernetesObject): KubernetesObject {
  const template = asRecord(fieldAt(replicaSet, "spec", "template"));
  const { labels, annotations, finalizers } = asRecord(template["metadata"]);
  const own: Record<string, unknown> = { labels, annotations, finalizers };
  const metadata: ObjectMeta = {
    ...own,
    name: "",
    generateName: `${replicaSet.metadata.name}-`,
    ...(replicaSet.metadata.namespace === undefined ? {} : { namespace: replicaSet.metadata.namespace }),
    ownerReferences: [controllerReference(replicaSet)],
  };
  return { apiVersion: "v1", kind: "Pod", metadata, spec: template["spec"] };
}

function removePods(
  store: ObjectStore,
  replicaSet: KubernetesObject,
  removed: readonly KubernetesObject[],
  record: RecordEvent,
): void {
  for (const pod of removed) {
    try {
      store.delete(pods, pod.metadata.namespace ?? "", pod.metadata.name, { uid: pod.metadata.uid ?? "" });
      record(replicaSet, { type: "Normal", reason: "SuccessfulDelete", message: `Deleted pod: ${pod.metadata.name}` });
    } catch (error) {
      if (!hasCode(error, "NOT_FOUND") && !hasCode(error, "CONFLICT")) throw error;
    }
  }
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

function concernsWebhook(store: ObjectStore, object: KubernetesObject): boolean {
  if (object.kind !== "EndpointSlice") return true;
  const name = object.metadata.labels?.["kubernetes.io/service-name"];
  return store.list(mutatingWebhooks).items.some((configuration) =>
    asArray(configuration["webhooks"]).some((webhook) => {
      const service = asRecord(fieldAt(webhook, "clientConfig", "service"));
      return service["name"] === name && service["namespace"] === object.metadata.namespace;
    }),
  );
}
