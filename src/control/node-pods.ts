// Pods as the certificate service asks about them, from the sources.
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import type { NodePods, PodFacts } from "./ca/node-authorization.ts";
import type { ConfigSource } from "./sources/config-source.ts";

interface PodObject extends KubernetesObject {
  readonly spec?: { readonly serviceAccountName?: string; readonly nodeName?: string };
  readonly status?: { readonly phase?: string };
}

export function nodePods(sources: readonly ConfigSource[]): NodePods {
  return {
    pod: (namespace, name) => {
      for (const pod of allPods(sources)) {
        if (pod.metadata.name === name && pod.metadata.namespace === namespace) return facts(pod);
      }
      return undefined;
    },
    runsOn: (nodeName, namespace, serviceAccount) => {
      for (const pod of allPods(sources)) {
        const { nodeName: node, serviceAccount: account } = facts(pod);
        const hasEnded = pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed";
        if (!hasEnded && pod.metadata.namespace === namespace && node === nodeName && account === serviceAccount) {
          return true;
        }
      }
      return false;
    },
  };
}

function* allPods(sources: readonly ConfigSource[]): Iterable<PodObject> {
  for (const source of sources) {
    for (const { object } of source.objects()) {
      if (object.kind === "Pod" && object.apiVersion === "v1") yield object as PodObject;
    }
  }
}

function facts({ metadata, spec }: PodObject): PodFacts {
  const { serviceAccountName = "default", nodeName = "" } = spec ?? {};
  return { uid: metadata.uid ?? "", serviceAccount: serviceAccountName, nodeName };
}
