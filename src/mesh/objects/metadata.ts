// Reads the metadata of an object that no API server has checked: the parts that the mesh uses have the right types
// afterwards, whatever the file said.
import { boolean, lenientRecord, list, map, optional, string, text } from "./decode.ts";
import type { KubernetesObject, ObjectMeta, OwnerReference } from "./kubernetes-object.ts";
import { child } from "./path.ts";
import type { Report } from "./report.ts";

type Checked = Pick<
  ObjectMeta,
  "labels" | "annotations" | "creationTimestamp" | "deletionTimestamp" | "ownerReferences"
>;

const checked = lenientRecord<Checked>({
  labels: optional(map(string).decode),
  annotations: optional(map(string).decode),
  creationTimestamp: optional(string),
  deletionTimestamp: optional(string),
  ownerReferences: optional(
    list(
      lenientRecord<OwnerReference>({
        apiVersion: text,
        kind: text,
        name: text,
        uid: text,
        controller: optional(boolean),
        blockOwnerDeletion: optional(boolean),
      }),
    ).decode,
  ),
});

export function readMetadata(object: KubernetesObject, report: Report): ObjectMeta {
  const { uid, resourceVersion, generation, name, namespace } = object.metadata;
  return {
    name,
    ...(namespace !== undefined && { namespace }),
    ...(uid !== undefined && { uid }),
    ...(resourceVersion !== undefined && { resourceVersion }),
    ...(generation !== undefined && { generation }),
    ...checked(object.metadata, child(undefined, "metadata"), report),
  };
}
