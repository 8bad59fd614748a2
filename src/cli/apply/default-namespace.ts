// Objects of files that name no namespace are for `default`, where their kind has one.
import { findKind } from "#mesh/catalog.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";

export function withNamespace(object: KubernetesObject): KubernetesObject {
  const isPlaced = object.metadata.namespace !== undefined && object.metadata.namespace !== "";
  if (isPlaced || findKind(object.apiVersion, object.kind)?.namespaced === false) return object;
  return { ...object, metadata: { ...object.metadata, namespace: "default" } };
}
