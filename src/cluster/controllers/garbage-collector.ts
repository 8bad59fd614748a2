// Deletes objects whose owners are all gone (background propagation). Owners are known by uid.

import { describeError, hasCode } from "#base/error.ts";
import type { Running } from "#base/lifecycle.ts";
import { catalog, findKind } from "#mesh/catalog.ts";
import type { KubernetesObject, OwnerReference } from "#mesh/objects/kubernetes-object.ts";
import { fieldAt } from "../store/json.ts";
import { customResourceDefinitions, formatResource } from "../store/resources.ts";
import type { ObjectStore, ResourceKey } from "../store/store.ts";
import type { ControllerContext } from "./options.ts";
import { WorkQueue } from "./work-queue.ts";

interface Dependent {
  readonly resource: ResourceKey;
  readonly namespace: string;
  readonly name: string;
  readonly owners: readonly OwnerReference[];
}

export function startGarbageCollector(context: ControllerContext): Running {
  const { store, clock, log } = context;
  const dependentByKey = new Map<string, Dependent>();
  const keysByOwner = new Map<string, Set<string>>();
  const queue: WorkQueue = new WorkQueue({
    clock,
    reconcile: (key) => {
      const dependent = dependentByKey.get(key);
      if (dependent !== undefined) collect(store, dependent);
    },
    onError: (key, error) => log.warn(`garbage-collector: ${key}: ${describeError(error)}`),
  });
  const see = (resource: ResourceKey, object: KubernetesObject): void => {
    const { name, namespace = "", ownerReferences = [] } = object.metadata;
    if (ownerReferences.length === 0) return;
    const key = `${formatResource(resource)} ${namespace}/${name}`;
    // Most writes change a status: the store then shares what stayed the same.
    if (dependentByKey.get(key)?.owners === ownerReferences) return;
    dependentByKey.set(key, { resource, namespace, name, owners: ownerReferences });
    for (const { uid } of ownerReferences) {
      const keys = keysByOwner.get(uid) ?? new Set();
      keysByOwner.set(uid, keys.add(key));
    }
    queue.add(key);
  };
  const forget = (resource: ResourceKey, object: KubernetesObject): void => {
    const { name, namespace = "", uid = "", ownerReferences = [] } = object.metadata;
    const key = `${formatResource(resource)} ${namespace}/${name}`;
    if (store.get(resource, namespace, name) === undefined) dependentByKey.delete(key);
    for (const owner of ownerReferences) {
      const keys = keysByOwner.get(owner.uid);
      keys?.delete(key);
      if (keys?.size === 0) keysByOwner.delete(owner.uid);
    }
    for (const dependent of keysByOwner.get(uid) ?? []) queue.add(dependent);
  };
  const unsubscribe = store.watchAll((resource, { type, object }) => {
    if (type === "DELETED") forget(resource, object);
    if (type === "DELETED" && resource.plural === customResourceDefinitions.plural) collectKind(store, object);
    if (type !== "DELETED") see(resource, object);
  });
  for (const resource of store.resources()) for (const object of store.list(resource).items) see(resource, object);
  const stop = (): Promise<void> => {
    unsubscribe();
    queue.stop();
    return Promise.resolve();
  };
  return { stop };
}

/** With the definition of a kind its objects go. */
function collectKind(store: ObjectStore, definition: KubernetesObject): void {
  const group = String(fieldAt(definition, "spec", "group"));
  const resource = { group, plural: String(fieldAt(definition, "spec", "names", "plural")) };
  // Definitions of kinds that are served anyway define nothing here.
  if (catalog.some((entry) => entry.group === resource.group && entry.plural === resource.plural)) return;
  for (const { metadata } of store.list(resource).items)
    store.delete(resource, metadata.namespace ?? "", metadata.name);
}

function collect(store: ObjectStore, { resource, namespace, name }: Dependent): void {
  const object = store.get(resource, namespace, name);
  const owners = object?.metadata.ownerReferences ?? [];
  if (object === undefined || owners.length === 0 || object.metadata.deletionTimestamp !== undefined) return;
  const living = owners.filter((owner) => exists(store, owner, namespace));
  if (living.length === owners.length) return;
  try {
    if (living.length === 0) store.delete(resource, namespace, name, { uid: object.metadata.uid ?? "" });
    else store.patch(resource, namespace, name, { metadata: { ownerReferences: living } });
  } catch (error) {
    if (!hasCode(error, "NOT_FOUND")) throw error;
  }
}

/** Owners of kinds that nobody knows here are taken to live: better an object too many than one lost. */
function exists(store: ObjectStore, owner: OwnerReference, namespace: string): boolean {
  const entry = findKind(owner.apiVersion, owner.kind);
  if (entry === undefined) return true;
  return store.get(entry, entry.namespaced ? namespace : "", owner.name)?.metadata.uid === owner.uid;
}
