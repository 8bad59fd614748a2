// The loop that all controllers share: changes of resources become keys, keys are reconciled against the store.

import { describeError, hasCode } from "#base/error.ts";
import type { Running } from "#base/lifecycle.ts";
import type { KubernetesObject, OwnerReference } from "#mesh/objects/kubernetes-object.ts";
import type { ResourceKey } from "../store/store.ts";
import type { ControllerContext } from "./options.ts";
import { WorkQueue } from "./work-queue.ts";

interface Trigger {
  readonly resource: ResourceKey;
  /** The keys that a change of the object concerns. */
  readonly keys: (object: KubernetesObject) => readonly string[];
}

export interface Controller {
  readonly name: string;
  readonly triggers: readonly Trigger[];
  readonly reconcile: (key: string, queue: WorkQueue) => void | Promise<void>;
}

/** Runs the controller until it is stopped; every object that exists already triggers it once. */
export function runController(
  context: ControllerContext,
  controller: Controller,
): Running & { readonly queue: WorkQueue } {
  const { store, log, clock } = context;
  const queue: WorkQueue = new WorkQueue({
    clock,
    reconcile: (key) => controller.reconcile(key, queue),
    onError: (key, error) => {
      const message = `${controller.name}: ${key}: ${describeError(error)}`;
      // Somebody else wrote first: the next try sees it.
      if (hasCode(error, "CONFLICT") || hasCode(error, "NOT_FOUND")) log.debug(message);
      else log.warn(message);
    },
  });
  const unsubscribe = controller.triggers.map(({ resource, keys }) =>
    store.watch(resource, {}, ({ type, object }) => {
      if (type !== "BOOKMARK") for (const key of keys(object)) queue.add(key);
    }),
  );
  const stop = (): Promise<void> => {
    for (const end of unsubscribe) end();
    queue.stop();
    return Promise.resolve();
  };
  return { queue, stop };
}

export function keyOf(object: KubernetesObject): string {
  return `${object.metadata.namespace ?? ""}/${object.metadata.name}`;
}

export function splitKey(key: string): readonly [namespace: string, name: string] {
  const slash = key.indexOf("/");
  return [key.slice(0, slash), key.slice(slash + 1)];
}

/** The owner that controls the object. */
export function controllerOf(object: KubernetesObject): OwnerReference | undefined {
  return object.metadata.ownerReferences?.find((owner) => owner.controller === true);
}

export function isControlledBy(object: KubernetesObject, owner: KubernetesObject): boolean {
  return controllerOf(object)?.uid === owner.metadata.uid;
}

export function controllerReference(owner: KubernetesObject): OwnerReference {
  const { apiVersion, kind, metadata } = owner;
  return { apiVersion, kind, name: metadata.name, uid: metadata.uid ?? "", controller: true, blockOwnerDeletion: true };
}

/** The keys of the owner of one kind, for triggers. */
export function ownerKeys(kind: string): (object: KubernetesObject) => readonly string[] {
  return (object) => {
    const owner = controllerOf(object);
    return owner?.kind === kind ? [`${object.metadata.namespace ?? ""}/${owner.name}`] : [];
  };
}
