// A decoded object: a typed spec with its metadata and the place it was written.
import type { Origin, SourcePosition } from "#base/issue.ts";
import type { ObjectMeta } from "./kubernetes-object.ts";

export interface MeshObject<Spec> {
  readonly kind: string;
  readonly apiVersion: string;
  readonly metadata: ObjectMeta;
  readonly name: string;
  /** Empty on cluster-scoped objects. */
  readonly namespace: string;
  /** Milliseconds since the epoch; 0 when the object carries no creation time. */
  readonly createdAt: number;
  readonly spec: Spec;
  /** Kind, namespace, name, and file and line where they are known. */
  readonly origin: Origin;
  /** Where the field with this path (`spec.http[0].route[1]`) was written; the nearest enclosing field that is known. */
  position(path: string): SourcePosition | undefined;
  /** Of an object that nobody wrote as it is: those that it was made from. `origin` is the first of them. */
  readonly madeFrom?: MadeFrom;
}

export interface MadeFrom {
  readonly origins: readonly Origin[];
  /** Where that was written which the field with this path came from. */
  originOf(path: string): Origin;
}

/** The objects that a user wrote to get this one: itself, mostly. */
export function originsOf(object: { readonly origin: Origin; readonly madeFrom?: MadeFrom }): readonly Origin[] {
  return object.madeFrom?.origins ?? [object.origin];
}

/** Where a field of an object was written; the object's own place when the field's is not known. */
export function originAt(object: MeshObject<unknown>, path: string): Origin {
  if (object.madeFrom !== undefined) return object.madeFrom.originOf(path);
  const position = object.position(path);
  return position === undefined ? object.origin : { ...object.origin, file: position.file, line: position.line };
}

/** `VirtualService/default/reviews`: names an object within a snapshot. */
export function objectKey(object: {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
}): string {
  return `${object.kind}/${object.namespace}/${object.name}`;
}

/** The order in which Istio reads objects of one kind: oldest first, then by name, then by namespace. */
export function byAge(
  a: { readonly createdAt: number; readonly name: string; readonly namespace: string },
  b: { readonly createdAt: number; readonly name: string; readonly namespace: string },
): number {
  if (a.createdAt !== b.createdAt) return a.createdAt - b.createdAt;
  if (a.name !== b.name) return a.name < b.name ? -1 : 1;
  if (a.namespace !== b.namespace) return a.namespace < b.namespace ? -1 : 1;
  return 0;
}
