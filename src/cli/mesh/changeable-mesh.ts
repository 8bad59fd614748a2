// A mesh of which one can ask what it would be with other objects.
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import type { MeshSnapshot } from "#mesh/snapshot/snapshot.ts";

export interface MeshChange {
  /** Objects that it would not have. */
  readonly drops?: (object: KubernetesObject) => boolean;
  /** Objects as they would be. */
  readonly edits?: (object: KubernetesObject) => KubernetesObject;
  /** Objects that it would have. */
  readonly adds?: readonly KubernetesObject[];
}

export interface ChangeableMesh {
  readonly snapshot: MeshSnapshot;
  changed(change: MeshChange): MeshSnapshot;
}

export function applyChange(
  objects: readonly KubernetesObject[],
  { drops = () => false, edits = (object) => object, adds = [] }: MeshChange,
): KubernetesObject[] {
  return [...objects.filter((object) => !drops(object)).map(edits), ...adds];
}
