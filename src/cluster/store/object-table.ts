// The objects of one resource with their recent history, and those who watch it.

import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { apiError } from "./errors.ts";
import { parseFieldSelector, parseLabelSelector } from "./selector.ts";
import type { ListOptions, ResourceKey, WatchEvent, WatchOptions } from "./store.ts";
import { Watcher } from "./watcher.ts";

/** How many events of one resource can be replayed. */
const historyLimit = 2048;

/** One write: what was before, what is after (of a removal: the last state). */
interface Change {
  readonly version: number;
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  readonly object: KubernetesObject;
  readonly before: KubernetesObject | undefined;
}

type Predicate = (object: KubernetesObject) => boolean;

export class ObjectTable {
  readonly resource: ResourceKey;
  readonly #objects = new Map<string, KubernetesObject>();
  readonly #subscriptions = new Set<Subscription>();
  #sorted: readonly KubernetesObject[] | undefined;
  #history: Change[] = [];
  /** Changes up to here are not in the history. */
  #forgottenVersion: number;

  constructor(resource: ResourceKey, version: number) {
    this.resource = resource;
    this.#forgottenVersion = version;
  }

  get size(): number {
    return this.#objects.size;
  }

  get(namespace: string, name: string): KubernetesObject | undefined {
    return this.#objects.get(`${namespace}/${name}`);
  }

  list(options: ListOptions): readonly KubernetesObject[] {
    this.#sorted ??= [...this.#objects.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, object]) => object);
    const matches = compile(options);
    return matches === undefined ? this.#sorted : this.#sorted.filter(matches);
  }

  /** Puts an object there that was written in an earlier life: no event. */
  load(object: KubernetesObject): void {
    this.#objects.set(keyOf(object), object);
    this.#sorted = undefined;
  }

  apply(type: Change["type"], object: KubernetesObject, version: number): void {
    const key = keyOf(object);
    const change: Change = { version, type, object, before: this.#objects.get(key) };
    if (type === "DELETED") this.#objects.delete(key);
    else this.#objects.set(key, object);
    this.#sorted = undefined;
    this.#history.push(change);
    if (this.#history.length >= historyLimit * 2) {
      this.#history = this.#history.slice(historyLimit);
      this.#forgottenVersion = (this.#history[0]?.version ?? version) - 1;
    }
    for (const subscription of this.#subscriptions) offer(subscription, change);
  }

  watch(options: WatchOptions, version: number, callback: (event: WatchEvent) => void): () => void {
    const watcher = new Watcher(callback);
    const subscription: Subscription = { matches: compile(options), watcher };
    if (options.fromVersion === undefined) {
      for (const object of this.list(options)) watcher.push({ type: "ADDED", object });
      watcher.push(initialEnd(version));
    } else {
      this.#replay(subscription, options.fromVersion, version);
    }
    this.#subscriptions.add(subscription);
    return () => {
      watcher.close();
      this.#subscriptions.delete(subscription);
    };
  }

  close(): void {
    for (const { watcher } of this.#subscriptions) watcher.close();
    this.#subscriptions.clear();
  }

  #replay(subscription: Subscription, fromVersion: string, version: number): void {
    const from = Number(fromVersion);
    if (!Number.isSafeInteger(from) || from < 0) {
      throw apiError("BAD_REQUEST", `"${fromVersion}" is not a resource version`);
    }
    if (from < this.#forgottenVersion || from > version) {
      throw apiError("EXPIRED", `too old resource version: ${from} (${this.#forgottenVersion})`);
    }
    for (const change of this.#history) if (change.version > from) offer(subscription, change);
  }
}

/** A watcher and what it selects. */
interface Subscription {
  readonly matches: Predicate | undefined;
  readonly watcher: Watcher<WatchEvent>;
}

/** Hands a change to a watcher as what it is for its selection. */
function offer({ matches, watcher }: Subscription, change: Change): void {
  const { type, object, before } = change;
  if (matches === undefined) return watcher.push({ type, object });
  const was = before !== undefined && matches(before);
  const is = type !== "DELETED" && matches(object);
  if (is) watcher.push({ type: was ? "MODIFIED" : "ADDED", object });
  else if (was) watcher.push({ type: "DELETED", object });
}

function keyOf(object: KubernetesObject): string {
  return `${object.metadata.namespace ?? ""}/${object.metadata.name}`;
}

function compile(options: ListOptions): Predicate | undefined {
  const predicates: Predicate[] = [];
  const namespace = options.namespace ?? "";
  if (namespace !== "") predicates.push((object) => object.metadata.namespace === namespace);
  if (options.labelSelector) predicates.push(parseLabelSelector(options.labelSelector));
  if (options.fieldSelector) predicates.push(parseFieldSelector(options.fieldSelector));
  if (predicates.length === 0) return undefined;
  return (object) => predicates.every((matches) => matches(object));
}

function initialEnd(version: number): WatchEvent {
  const annotations = { "k8s.io/initial-events-end": "true" };
  const metadata = { name: "", resourceVersion: String(version), annotations };
  return { type: "BOOKMARK", object: { apiVersion: "v1", kind: "Bookmark", metadata } };
}
