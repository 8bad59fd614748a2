// Objects of files that name no namespace are for `default`, where their kind has one.
import { findKind } from "#mesh/catalog.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";

export function withNamespace(object: KubernetesObject): KubernetesObject {
  const isPlaced = object.metadata.namespace !== undefined && object.metadata.namespace !== "";
  if (isPlaced || isClusterScoped(object)) return object;
  return { ...object, metadata: { ...object.metadata, namespace: "default" } };
}

function isClusterScoped({ apiVersion, kind }: KubernetesObject): boolean {
  return kind === "CustomResourceDefinition" || findKind(apiVersion, kind)?.namespaced === false;
}
