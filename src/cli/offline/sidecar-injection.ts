// Which pods of files get a sidecar, and what they are then: the selectors of the injection webhook, and the injector.
import type { Issue } from "#base/issue.ts";
import { injectPod } from "#mesh/inject/inject-pod.ts";
import type { InjectionContext } from "#mesh/inject/injection.ts";
import type { Pod as InjectorPod } from "#mesh/inject/pod.ts";
import { systemNamespaces } from "#mesh/inject/should-inject.ts";
import { injectionWebhookConfiguration } from "#mesh/inject/webhook-configuration.ts";
import { type KubernetesSelector, type Labels, matchesKubernetesSelector } from "#mesh/objects/fields/selector.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import type { Pod } from "../mesh/pods.ts";

export interface PodInjection {
  readonly pod: Pod;
  /** Why a pod that was to have a sidecar has none. */
  readonly issues: readonly Issue[];
}

/** The pod as a cluster would store it: with a sidecar, or as it was. */
export function injectSidecar(pod: Pod, namespaceLabels: Labels, context: InjectionContext): PodInjection {
  if (!reachesInjector(pod.metadata.labels ?? {}, namespaceLabels)) return { pod, issues: [] };
  const input = pod as KubernetesObject as InjectorPod & KubernetesObject;
  const result = injectPod({ pod: input, namespace: pod.metadata.namespace ?? "default", context });
  if ("pod" in result) return { pod: { ...pod, ...(result.pod as object) }, issues: [] };
  return { pod, issues: "issues" in result ? result.issues : [] };
}

/** A namespace that the files do not hold is taken for one of the mesh, unless it is the platform's. */
export function labelsOfNamespaces(
  objects: Iterable<KubernetesObject>,
  rootNamespace: string,
): (namespace: string) => Labels {
  const written = new Map<string, Labels>();
  for (const { kind, metadata } of objects) if (kind === "Namespace") written.set(metadata.name, metadata.labels ?? {});
  return (namespace) => {
    const isOfPlatform = namespace === rootNamespace || systemNamespaces.includes(namespace);
    return written.get(namespace) ?? (isOfPlatform ? {} : { "istio-injection": "enabled" });
  };
}

function reachesInjector(podLabels: Labels, namespaceLabels: Labels): boolean {
  const revision = namespaceLabels["istio.io/rev"] ?? podLabels["istio.io/rev"] ?? "default";
  return webhooksOf(revision).some(
    ({ namespaceSelector, objectSelector }) =>
      matchesKubernetesSelector(namespaceSelector, namespaceLabels) &&
      matchesKubernetesSelector(objectSelector, podLabels),
  );
}

interface Webhook {
  readonly namespaceSelector: KubernetesSelector;
  readonly objectSelector: KubernetesSelector;
}

function webhooksOf(revision: string): readonly Webhook[] {
  return injectionWebhookConfiguration({ revision })["webhooks"] as readonly Webhook[];
}
