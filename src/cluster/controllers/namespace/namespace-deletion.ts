// Empties a namespace that is being deleted, then lets it go. Pods take their grace period.

import { hasCode } from "#base/error.ts";
import type { Running } from "#base/lifecycle.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { asRecord } from "../../store/json.ts";
import { namespaces, pods } from "../../store/resources.ts";
import type { ObjectStore, ResourceKey } from "../../store/store.ts";
import { runController } from "../controller.ts";
import type { ControllerContext } from "../options.ts";

/** What has finalizers of others is looked at again this often. */
const recheckMs = 500;

export function startNamespaceDeletion(context: ControllerContext): Running {
  const { store } = context;
  return runController(context, {
    name: "namespace-deletion",
    triggers: [
      { resource: namespaces, keys: (namespace) => [namespace.metadata.name] },
      // The last pod is what one usually waits for.
      {
        resource: pods,
        keys: (pod) => (pod.metadata.deletionTimestamp === undefined ? [] : [pod.metadata.namespace ?? ""]),
      },
    ],
    reconcile: (name, queue) => {
      const namespace = store.get(namespaces, "", name);
      if (namespace?.metadata.deletionTimestamp === undefined) return;
      const status = { ...asRecord(namespace["status"]), phase: "Terminating" };
      store.updateStatus(namespaces, { ...namespace, status });
      deleteContent(store, name);
      if (contentOf(store, name).length === 0) release(store, name);
      else queue.addAfter(name, recheckMs);
    },
  });
}

function deleteContent(store: ObjectStore, namespace: string): void {
  // Pods last: then nothing is left that would make them anew.
  const content = contentOf(store, namespace).toSorted(
    ([a], [b]) => Number(a.plural === "pods") - Number(b.plural === "pods"),
  );
  for (const [resource, object] of content) {
    if (object.metadata.deletionTimestamp !== undefined) continue;
    try {
      store.delete(resource, namespace, object.metadata.name);
    } catch (error) {
      if (!hasCode(error, "NOT_FOUND")) throw error;
    }
  }
}

function contentOf(store: ObjectStore, namespace: string): readonly (readonly [ResourceKey, KubernetesObject])[] {
  return store
    .resources()
    .flatMap((resource) => store.list(resource, { namespace }).items.map((object) => [resource, object] as const));
}

/** Takes away the finalizer that kept the namespace until it was empty. */
function release(store: ObjectStore, name: string): void {
  const namespace = store.get(namespaces, "", name);
  if (namespace === undefined) return;
  store.update(namespaces, { ...namespace, spec: { ...asRecord(namespace["spec"]), finalizers: [] } });
}
