// Reads the metadata of an object that no API server has checked: the parts that the mesh uses have the right types
// afterwards, whatever the file said.
import { boolean, lenientRecord, list, map, optional, reportUnknown, string, text } from "./decode.ts";
import type { KubernetesObject, ObjectMeta, OwnerReference } from "./kubernetes-object.ts";
import { child } from "./path.ts";
import type { Report } from "./report.ts";
import { isNamespaceName } from "./validate-names.ts";

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

const objectFields: ReadonlySet<string> = new Set(["apiVersion", "kind", "metadata", "spec", "status"]);

const metadataFields: ReadonlySet<string> = new Set([
  "annotations",
  "clusterName",
  "creationTimestamp",
  "deletionGracePeriodSeconds",
  "deletionTimestamp",
  "finalizers",
  "generateName",
  "generation",
  "labels",
  "managedFields",
  "name",
  "namespace",
  "ownerReferences",
  "resourceVersion",
  "selfLink",
  "uid",
]);

/** An AuthorizationPolicy that is only logged. */
export const dryRunAnnotation = "istio.io/dry-run";

/** Reports what an API server would refuse in the frame of an object, whatever its kind. */
export function validateFrame(object: KubernetesObject, report: Report): void {
  reportUnknown(object, objectFields, undefined, report);
  const path = child(undefined, "metadata");
  reportUnknown(object.metadata, metadataFields, path, report);
  const { name, namespace = "" } = object.metadata;
  if (name !== undefined && (name.length > 253 || !objectName.test(name))) {
    const message = `"${name}" cannot be the name of an object`;
    report({ path: child(path, "name"), message, fix: "use lower-case letters, digits, - and ." });
  }
  if (namespace !== "" && !isNamespaceName(namespace)) {
    report({ path: child(path, "namespace"), message: `"${namespace}" cannot be the name of a namespace` });
  }
}

/** Istio's webhook refuses it everywhere else. */
export function validateDryRun({ kind, metadata }: KubernetesObject, report: Report): void {
  if (kind === "AuthorizationPolicy" || metadata.annotations?.[dryRunAnnotation] === undefined) return;
  const path = `metadata.annotations["${dryRunAnnotation}"]`;
  report({ path, message: `${kind} has no dry run`, fix: "remove the annotation" });
}

/** A DNS subdomain (RFC 1123). */
const objectName = /^[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*$/;

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
