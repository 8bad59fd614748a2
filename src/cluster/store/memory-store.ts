// The store itself: everything is read from memory. A journal, when there is one, makes each write durable before it
// is seen by anyone.

import { randomUUID } from "node:crypto";
import { type Clock, systemClock } from "#base/time/clock.ts";
import type { KubernetesObject, ObjectMeta } from "#mesh/objects/kubernetes-object.ts";
import { apiError } from "./errors.ts";
import { asArray, asRecord, fieldAt, frozenCopy, isRecord, jsonEqual, mergePatch } from "./json.ts";
import { generatedName } from "./object-name.ts";
import { ObjectTable } from "./object-table.ts";
import { formatResource } from "./resources.ts";
import type {
  DeleteOptions,
  ListOptions,
  ObjectList,
  ObjectStore,
  PatchOptions,
  ResourceKey,
  WatchEvent,
  WatchOptions,
} from "./store.ts";
import { Watcher } from "./watcher.ts";

/** Where writes are kept. Each call is one transaction; `load` is called once, first. */
export interface Journal {
  load(visit: (resource: ResourceKey, object: KubernetesObject) => void): number;
  put(resource: ResourceKey, object: KubernetesObject, version: number): void;
  remove(resource: ResourceKey, object: KubernetesObject, version: number): void;
  close(): void;
}

export interface MemoryStoreOptions {
  readonly clock?: Clock;
  readonly journal?: Journal;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

export class MemoryStore implements ObjectStore {
  readonly #clock: Clock;
  readonly #journal: Journal | undefined;
  readonly #tables = new Map<string, ObjectTable>();
  readonly #allWatchers = new Set<Watcher<[ResourceKey, WatchEvent]>>();
  #version = 0;
  /** Versions up to here belong to an earlier life, whose history is gone. */
  readonly #firstVersion: number;
  #isClosed = false;

  constructor(options: MemoryStoreOptions = {}) {
    this.#clock = options.clock ?? systemClock;
    this.#journal = options.journal;
    const loaded: [ResourceKey, KubernetesObject][] = [];
    this.#version = this.#journal?.load((resource, object) => loaded.push([resource, object])) ?? 0;
    this.#firstVersion = this.#version;
    for (const [resource, object] of loaded) this.#table(resource).load(object);
  }

  get resourceVersion(): string {
    return String(this.#version);
  }

  get(resource: ResourceKey, namespace: string, name: string): KubernetesObject | undefined {
    return this.#table(resource).get(namespace, name);
  }

  list(resource: ResourceKey, options: ListOptions = {}): ObjectList {
    return { items: this.#table(resource).list(options), resourceVersion: this.resourceVersion };
  }

  resources(): readonly ResourceKey[] {
    return [...this.#tables.values()].filter((table) => table.size > 0).map((table) => table.resource);
  }

  create(resource: ResourceKey, object: KubernetesObject): KubernetesObject {
    const table = this.#table(resource);
    const namespace = object.metadata.namespace ?? "";
    const name = this.#nameFor(table, namespace, object.metadata);
    const { resourceVersion: _, deletionTimestamp: __, deletionGracePeriodSeconds: ___, ...given } = object.metadata;
    const metadata: ObjectMeta = {
      ...given,
      name,
      uid: randomUUID(),
      creationTimestamp: this.#timestamp(0),
      ...(object["spec"] === undefined ? {} : { generation: 1 }),
    };
    return this.#put(table, "ADDED", { ...object, metadata });
  }

  update(resource: ResourceKey, object: KubernetesObject): KubernetesObject {
    const table = this.#table(resource);
    const stored = this.#stored(table, object.metadata.namespace ?? "", object.metadata.name);
    checkPreconditions(resource, stored, object.metadata.uid, object.metadata.resourceVersion);
    const { status: _, ...rest } = object;
    const next: KubernetesObject = {
      ...rest,
      apiVersion: object.apiVersion,
      kind: object.kind,
      metadata: ownedMetadata(object.metadata, stored.metadata),
      ...(stored["status"] === undefined ? {} : { status: stored["status"] }),
    };
    const isSameContent = jsonEqual(contentOf(next), contentOf(stored));
    if (isSameContent && jsonEqual(next.metadata, stored.metadata)) return stored;
    const changed = isSameContent ? next : withGeneration(next);
    return isGone(resource, changed) ? this.#remove(table, changed) : this.#put(table, "MODIFIED", changed);
  }

  updateStatus(resource: ResourceKey, object: KubernetesObject): KubernetesObject {
    const table = this.#table(resource);
    const stored = this.#stored(table, object.metadata.namespace ?? "", object.metadata.name);
    checkPreconditions(resource, stored, object.metadata.uid, object.metadata.resourceVersion);
    if (jsonEqual(stored["status"], object["status"])) return stored;
    return this.#put(table, "MODIFIED", { ...stored, status: object["status"] });
  }

  patch(
    resource: ResourceKey,
    namespace: string,
    name: string,
    patch: unknown,
    options: PatchOptions = {},
  ): KubernetesObject {
    const stored = this.#stored(this.#table(resource), namespace, name);
    if (!isRecord(patch)) throw apiError("BAD_REQUEST", "a merge patch is a JSON object");
    const wanted = fieldAt(patch, "metadata", "resourceVersion");
    if (typeof wanted === "string") checkPreconditions(resource, stored, undefined, wanted);
    if (options.status === true) {
      const status = mergePatch(stored["status"], patch["status"] ?? {});
      return this.updateStatus(resource, { ...stored, status });
    }
    const merged = asRecord(mergePatch(stored, patch));
    const metadata = asRecord(merged["metadata"]);
    const identity = { name, namespace, uid: stored.metadata.uid, resourceVersion: stored.metadata.resourceVersion };
    return this.update(resource, {
      ...merged,
      apiVersion: stored.apiVersion,
      kind: stored.kind,
      metadata: { ...metadata, ...identity } as ObjectMeta,
    });
  }

  delete(resource: ResourceKey, namespace: string, name: string, options: DeleteOptions = {}): KubernetesObject {
    const table = this.#table(resource);
    const stored = this.#stored(table, namespace, name);
    checkPreconditions(resource, stored, options.uid, options.resourceVersion);
    const grace = gracePeriod(resource, stored, options.gracePeriodSeconds);
    if (grace === 0 && !hasFinalizers(resource, stored)) return this.#remove(table, stored);
    const metadata = stored.metadata;
    if (metadata.deletionTimestamp !== undefined && grace >= (metadata.deletionGracePeriodSeconds ?? 0)) return stored;
    const ending = {
      ...metadata,
      deletionTimestamp: this.#timestamp(grace),
      deletionGracePeriodSeconds: grace,
    };
    return this.#put(table, "MODIFIED", withGeneration({ ...stored, metadata: ending }));
  }

  watch(resource: ResourceKey, options: WatchOptions, callback: (event: WatchEvent) => void): () => void {
    return this.#table(resource).watch(options, this.#version, callback);
  }

  watchAll(callback: (resource: ResourceKey, event: WatchEvent) => void): () => void {
    const watcher = new Watcher<[ResourceKey, WatchEvent]>(([resource, event]) => callback(resource, event));
    this.#allWatchers.add(watcher);
    return () => {
      watcher.close();
      this.#allWatchers.delete(watcher);
    };
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const table of this.#tables.values()) table.close();
    for (const watcher of this.#allWatchers) watcher.close();
    this.#journal?.close();
  }

  #table(resource: ResourceKey): ObjectTable {
    const key = formatResource(resource);
    let table = this.#tables.get(key);
    if (table === undefined) {
      table = new ObjectTable({ group: resource.group, plural: resource.plural }, this.#firstVersion);
      this.#tables.set(key, table);
    }
    return table;
  }

  #stored(table: ObjectTable, namespace: string, name: string): KubernetesObject {
    const stored = table.get(namespace, name);
    if (stored === undefined) throw apiError("NOT_FOUND", `${formatResource(table.resource)} "${name}" not found`);
    return stored;
  }

  #nameFor(table: ObjectTable, namespace: string, metadata: ObjectMeta): string {
    const base = metadata.generateName ?? "";
    if (metadata.name || base === "") {
      if (!metadata.name) throw apiError("INVALID", "metadata.name: name or generateName is required");
      if (table.get(namespace, metadata.name) === undefined) return metadata.name;
      throw apiError("ALREADY_EXISTS", `${formatResource(table.resource)} "${metadata.name}" already exists`);
    }
    for (let attempt = 0; attempt < 16; attempt++) {
      const name = generatedName(base);
      if (table.get(namespace, name) === undefined) return name;
    }
    throw apiError("ALREADY_EXISTS", `no free name was found for generateName "${base}"`);
  }

  #put(table: ObjectTable, type: "ADDED" | "MODIFIED", object: KubernetesObject): KubernetesObject {
    const next = this.#versioned(object);
    this.#journal?.put(table.resource, next, this.#version + 1);
    this.#apply(table, type, next);
    return next;
  }

  #remove(table: ObjectTable, object: KubernetesObject): KubernetesObject {
    const last = this.#versioned(object);
    this.#journal?.remove(table.resource, last, this.#version + 1);
    this.#apply(table, "DELETED", last);
    return last;
  }

  #apply(table: ObjectTable, type: "ADDED" | "MODIFIED" | "DELETED", object: KubernetesObject): void {
    table.apply(type, object, ++this.#version);
    for (const watcher of this.#allWatchers) watcher.push([table.resource, { type, object }]);
  }

  #versioned(object: KubernetesObject): KubernetesObject {
    if (this.#isClosed) throw apiError("UNAVAILABLE", "the store is closed");
    const { name, namespace, ...rest } = { ...object.metadata, resourceVersion: String(this.#version + 1) };
    return frozenCopy({ ...object, metadata: { name, ...(namespace ? { namespace } : {}), ...rest } });
  }

  #timestamp(seconds: number): string {
    return `${new Date(this.#clock.now() + seconds * 1000).toISOString().slice(0, 19)}Z`;
  }
}

/** The metadata that a writer may change, over the metadata that is the store's. */
function ownedMetadata(given: ObjectMeta, stored: ObjectMeta): ObjectMeta {
  const metadata: Mutable<ObjectMeta> = { ...given };
  for (const field of ownedFields) {
    if (stored[field] === undefined) delete metadata[field];
    else Object.assign(metadata, { [field]: stored[field] });
  }
  return metadata;
}

const ownedFields = [
  "name",
  "namespace",
  "generateName",
  "uid",
  "resourceVersion",
  "generation",
  "creationTimestamp",
  "deletionTimestamp",
  "deletionGracePeriodSeconds",
] as const;

function contentOf(object: KubernetesObject): unknown {
  const { metadata: _, status: __, ...content } = object;
  return content;
}

function withGeneration(object: KubernetesObject): KubernetesObject {
  if (object.metadata.generation === undefined) return object;
  return { ...object, metadata: { ...object.metadata, generation: object.metadata.generation + 1 } };
}

function checkPreconditions(
  resource: ResourceKey,
  stored: KubernetesObject,
  uid: string | undefined,
  resourceVersion: string | undefined,
): void {
  const name = `${formatResource(resource)} "${stored.metadata.name}"`;
  if (uid && uid !== stored.metadata.uid) {
    throw apiError("CONFLICT", `${name} is another object by now: its uid is ${stored.metadata.uid}, not ${uid}`);
  }
  if (resourceVersion && resourceVersion !== stored.metadata.resourceVersion) {
    throw apiError(
      "CONFLICT",
      `Operation cannot be fulfilled on ${name}: the object has been modified; please apply your changes to the latest version and try again`,
    );
  }
}

function hasFinalizers(resource: ResourceKey, object: KubernetesObject): boolean {
  if ((object.metadata.finalizers ?? []).length > 0) return true;
  const isNamespace = resource.group === "" && resource.plural === "namespaces";
  return isNamespace && asArray(fieldAt(object, "spec", "finalizers")).length > 0;
}

function isGone(resource: ResourceKey, object: KubernetesObject): boolean {
  return (
    object.metadata.deletionTimestamp !== undefined &&
    (object.metadata.deletionGracePeriodSeconds ?? 0) === 0 &&
    !hasFinalizers(resource, object)
  );
}

/** Only pods that run on a node need time to end. */
function gracePeriod(resource: ResourceKey, object: KubernetesObject, wanted: number | undefined): number {
  if (resource.group !== "" || resource.plural !== "pods") return 0;
  const phase = fieldAt(object, "status", "phase");
  if (!fieldAt(object, "spec", "nodeName") || phase === "Succeeded" || phase === "Failed") return 0;
  const own = fieldAt(object, "spec", "terminationGracePeriodSeconds");
  return Math.max(0, wanted ?? (typeof own === "number" ? own : 30));
}
