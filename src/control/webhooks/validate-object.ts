// Reads one object as the snapshot would, and says what is wrong with it. Kinds that are none of the mesh's business
// have no issues.
import type { Issue } from "#base/issue.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { readObject } from "#mesh/snapshot/read-object.ts";

export function validateObject(object: KubernetesObject): readonly Issue[] {
  return readObject({ object }, "cluster.local", undefined)?.issues ?? [];
}
