// Which namespaces the mesh reads at all: `meshConfig.discoverySelectors`, compared with the labels of Namespaces.
import type { MeshConfig } from "../kinds/mesh-config/spec.ts";
import { matchesKubernetesSelector } from "../objects/fields/selector.ts";
import type { Entry } from "./read-object.ts";

/** Tells of each entry whether it is read: not in namespaces that no selector picks. The root namespace always is. */
export function discovery(entries: ReadonlyMap<string, Entry>, meshConfig: MeshConfig): (entry: Entry) => boolean {
  const { discoverySelectors, rootNamespace } = meshConfig;
  if (discoverySelectors.length === 0) return () => true;
  const isRead = (namespace: string): boolean => {
    if (namespace === "" || namespace === rootNamespace) return true;
    const labels = entries.get(`Namespace//${namespace}`)?.source.metadata.labels ?? {};
    return discoverySelectors.some((selector) => matchesKubernetesSelector(selector, labels));
  };
  const known = new Map<string, boolean>();
  return ({ origin }) => {
    let answer = known.get(origin.namespace);
    if (answer === undefined) {
      answer = isRead(origin.namespace);
      known.set(origin.namespace, answer);
    }
    return answer;
  };
}
