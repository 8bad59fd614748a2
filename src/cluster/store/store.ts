// The object store of the embedded cluster: what etcd and the watch cache are to Kubernetes. Synchronous, in one
// process; objects are deeply frozen and shared, never copied on read. Admission and authorization happen above it.

import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";

/** Names a resource as the API's paths do; a `CatalogEntry` is one. The core group is "". */
export interface ResourceKey {
  readonly group: string;
  readonly plural: string;
}

export interface ObjectList {
  readonly items: readonly KubernetesObject[];
  /** The version of the store that the list shows: watch from here misses nothing. */
  readonly resourceVersion: string;
}

export interface ListOptions {
  /** Absent or "" means all namespaces. */
  readonly namespace?: string;
  /** Kubernetes' syntax: `app=reviews,version in (v1,v2),!canary`. */
  readonly labelSelector?: string;
  /** `metadata.name=x,spec.nodeName!=y`: any path of plain fields. */
  readonly fieldSelector?: string;
}

export interface WatchOptions extends ListOptions {
  /**
   * Resume after this version: everything later is replayed, or EXPIRED is thrown when the history no longer reaches
   * back. Absent: every existing object arrives first as ADDED, then one BOOKMARK with the annotation
   * `k8s.io/initial-events-end`, then what happens.
   */
  readonly fromVersion?: string;
}

export interface WatchEvent {
  readonly type: "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK";
  /** Of a BOOKMARK only `metadata.resourceVersion` means something. */
  readonly object: KubernetesObject;
}

export interface PatchOptions {
  /** Patches the status and nothing else. */
  readonly status?: boolean;
}

export interface DeleteOptions {
  /** For pods; default `spec.terminationGracePeriodSeconds`. 0 removes at once: the node says so when all has ended. */
  readonly gracePeriodSeconds?: number;
  readonly uid?: string;
  readonly resourceVersion?: string;
}

/**
 * Failures are `OutriggerError`s with a code from `errors.ts`: NOT_FOUND, ALREADY_EXISTS, CONFLICT, EXPIRED, INVALID.
 * The namespace of cluster-scoped objects is "".
 */
export interface ObjectStore {
  /** The version of the last write. */
  readonly resourceVersion: string;

  get(resource: ResourceKey, namespace: string, name: string): KubernetesObject | undefined;
  /** Ordered by namespace, then name. */
  list(resource: ResourceKey, options?: ListOptions): ObjectList;
  /** Resources that hold at least one object. */
  resources(): readonly ResourceKey[];

  /** Gives uid, creationTimestamp, resourceVersion, generation 1 and, from generateName, a name. */
  create(resource: ResourceKey, object: KubernetesObject): KubernetesObject;
  /**
   * Replaces everything but the status and the metadata that the store owns. With `metadata.resourceVersion` the stored
   * object must still have it. Writing what is already there changes nothing and is not an event. An object that is
   * being deleted goes when its last finalizer does.
   */
  update(resource: ResourceKey, object: KubernetesObject): KubernetesObject;
  /** Replaces the status and nothing else; the same rule for `metadata.resourceVersion`. */
  updateStatus(resource: ResourceKey, object: KubernetesObject): KubernetesObject;
  /** Applies a JSON merge patch (RFC 7396). A `metadata.resourceVersion` in the patch is a precondition. */
  patch(
    resource: ResourceKey,
    namespace: string,
    name: string,
    mergePatch: unknown,
    options?: PatchOptions,
  ): KubernetesObject;
  /**
   * Removes, or begins to: with finalizers, and for pods with a grace period, the object gets a deletionTimestamp and
   * stays. Returns its last state.
   */
  delete(resource: ResourceKey, namespace: string, name: string, options?: DeleteOptions): KubernetesObject;

  /**
   * Calls back for every event that matches, in order, in a microtask after the write (never inside the writer's call).
   * An object that begins or ceases to match a selector arrives as ADDED or DELETED. Returns the unsubscribe function.
   */
  watch(resource: ResourceKey, options: WatchOptions, callback: (event: WatchEvent) => void): () => void;

  /** As `watch` from now on, without a selection, for every resource there is or will be. */
  watchAll(callback: (resource: ResourceKey, event: WatchEvent) => void): () => void;

  /** Ends all watches and closes the database, if there is one. */
  close(): void;
}
