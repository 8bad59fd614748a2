// What controllers of pods have in common: the pods that they own, making and removing them with a word about it, and
// trying again when a webhook answers.
import { describeError, hasCode } from "#base/error.ts";
import type { Running } from "#base/lifecycle.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";

import { builtInEntry } from "../apiserver/registry.ts";
import { asArray, asRecord, fieldAt } from "../store/json.ts";
import { endpointSlices, mutatingWebhooks, pods } from "../store/resources.ts";
import type { ObjectStore, ResourceKey } from "../store/store.ts";
import type { UserInfo } from "../tokens/token-authority.ts";
import { isControlledBy, keyOf, ownerKeys, runController } from "./controller.ts";
import { eventRecorder, type RecordEvent } from "./event-recorder.ts";
import type { ControllerContext } from "./options.ts";
import type { WorkQueue } from "./work-queue.ts";

const podEntry = builtInEntry(pods);

/** All of them: active, ending, and ended. */
export function ownedPods(store: ObjectStore, owner: KubernetesObject): readonly KubernetesObject[] {
  const namespace = owner.metadata.namespace ?? "";
  return store.list(pods, { namespace }).items.filter((pod) => isControlledBy(pod, owner));
}

/** Makes the pod through admission. Throws what admission throws, after an event. */
export async function createOwnedPod(
  { admission }: ControllerContext,
  owner: KubernetesObject,
  pod: KubernetesObject,
  { user, record }: { readonly user: UserInfo; readonly record: RecordEvent },
): Promise<void> {
  try {
    const created = await admission.create(podEntry, pod, { user });
    record(owner, { type: "Normal", reason: "SuccessfulCreate", message: `Created pod: ${created.metadata.name}` });
  } catch (error) {
    record(owner, { type: "Warning", reason: "FailedCreate", message: `Error creating: ${describeError(error)}` });
    throw error;
  }
}

/** Somebody else may have removed it meanwhile. */
export function removeOwnedPod(
  store: ObjectStore,
  owner: KubernetesObject,
  pod: KubernetesObject,
  record: RecordEvent,
): void {
  try {
    store.delete(pods, pod.metadata.namespace ?? "", pod.metadata.name, { uid: pod.metadata.uid ?? "" });
    record(owner, { type: "Normal", reason: "SuccessfulDelete", message: `Deleted pod: ${pod.metadata.name}` });
  } catch (error) {
    if (!hasCode(error, "NOT_FOUND") && !hasCode(error, "CONFLICT")) throw error;
  }
}

export interface PodOwnerController {
  /** `replicaset-controller`, in logs and events. */
  readonly name: string;
  readonly resource: ResourceKey;
  readonly kind: string;
  /** Returns after how many milliseconds to look again; undefined: when something changes. */
  readonly reconcile: (context: ControllerContext, key: string, record: RecordEvent) => Promise<number | undefined>;
}

/** Runs a controller of a kind that owns pods: its objects and their pods trigger it. */
export function runPodOwner(
  context: ControllerContext,
  { name, resource, kind, reconcile }: PodOwnerController,
): Running {
  const record = eventRecorder(context.store, context.clock, name);
  const running = runController(context, {
    name,
    triggers: [
      { resource, keys: (object) => [keyOf(object)] },
      { resource: pods, keys: ownerKeys(kind) },
    ],
    reconcile: async (key, queue) => {
      const delayMs = await reconcile(context, key, record);
      if (delayMs !== undefined) queue.addAfter(key, delayMs);
    },
  });
  const endRetries = retryWithWebhooks(context.store, running.queue);
  return {
    stop: async () => {
      endRetries();
      await running.stop();
    },
  };
}

/** A pod that could not be made because its webhook did not answer can be as soon as it does. Returns what ends it. */
function retryWithWebhooks(store: ObjectStore, queue: WorkQueue): () => void {
  const unsubscribe = [endpointSlices, mutatingWebhooks].map((resource) =>
    store.watch(resource, {}, ({ object }) => {
      if (concernsWebhook(store, object)) queue.retryFailed();
    }),
  );
  return () => {
    for (const end of unsubscribe) end();
  };
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
