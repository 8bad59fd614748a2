// Where configuration comes from. A source keeps the current objects of one place and says what changed; what the
// objects mean is not its business.
import type { Issue } from "#base/issue.ts";
import type { Running } from "#base/lifecycle.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import type { SourceObject } from "#mesh/snapshot/read-object.ts";

export interface SourceChange {
  readonly change: "added" | "changed" | "removed";
  /** The new object; the last one when it was removed. */
  readonly object: KubernetesObject;
  readonly previous?: KubernetesObject;
}

/** Enough to find an object. */
export interface ObjectIdentity {
  readonly apiVersion: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
}

export interface ConfigSource extends Running {
  readonly name: string;
  /** Resolves when the first complete state is there. `onChange` is called from then on, and may be before. */
  start(onChange: (changes: readonly SourceChange[]) => void): Promise<void>;
  objects(): Iterable<SourceObject>;
  /** The object as an API server stores it; absent where nothing can be written back. */
  stored?(object: ObjectIdentity): KubernetesObject | undefined;
  /** What could not be read at all: invalid YAML and the like. */
  issues(): readonly Issue[];
}

/** Names an object within a source: its group decides too, a Gateway is not always Istio's. */
export function sourceKey(object: KubernetesObject): string {
  const { namespace = "", name } = object.metadata;
  return identityKey({ apiVersion: object.apiVersion, kind: object.kind, namespace, name });
}

function identityKey(object: ObjectIdentity): string {
  const slash = object.apiVersion.indexOf("/");
  const group = slash === -1 ? "" : object.apiVersion.slice(0, slash);
  return `${group}/${object.kind}/${object.namespace}/${object.name}`;
}

/** The objects of a source by key; replacing a part of them says what that changed. */
export class SourceObjects {
  readonly #objects = new Map<string, SourceObject>();

  values(): Iterable<SourceObject> {
    return this.#objects.values();
  }

  get(key: string): SourceObject | undefined {
    return this.#objects.get(key);
  }

  find(object: ObjectIdentity): SourceObject | undefined {
    return this.#objects.get(identityKey(object));
  }

  put(entry: SourceObject): SourceChange | undefined {
    const key = sourceKey(entry.object);
    const previous = this.#objects.get(key);
    this.#objects.set(key, entry);
    if (previous === undefined) return { change: "added", object: entry.object };
    if (isSame(previous, entry)) return undefined;
    return { change: "changed", object: entry.object, previous: previous.object };
  }

  delete(object: KubernetesObject): SourceChange | undefined {
    const key = sourceKey(object);
    const previous = this.#objects.get(key)?.object;
    if (previous === undefined) return undefined;
    this.#objects.delete(key);
    return { change: "removed", object: previous, previous };
  }

  /** Makes these the only ones among the objects that `belongs` says yes to. */
  replace(entries: readonly SourceObject[], belongs: (object: KubernetesObject) => boolean): SourceChange[] {
    const keys = new Set(entries.map((entry) => sourceKey(entry.object)));
    const gone = [...this.#objects].filter(([key, { object }]) => belongs(object) && !keys.has(key));
    const removed = gone.flatMap(([, { object }]) => this.delete(object) ?? []);
    return [...removed, ...entries.flatMap((entry) => this.put(entry) ?? [])];
  }
}

function isSame(previous: SourceObject, next: SourceObject): boolean {
  const { uid, resourceVersion } = next.object.metadata;
  if (resourceVersion !== undefined && resourceVersion !== "") {
    return previous.object.metadata.resourceVersion === resourceVersion && previous.object.metadata.uid === uid;
  }
  if (previous.object === next.object) return true;
  const line = ({ position }: SourceObject): number | undefined => position?.("").line;
  return line(previous) === line(next) && JSON.stringify(previous.object) === JSON.stringify(next.object);
}
