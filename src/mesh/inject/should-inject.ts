// Decides whether a pod that reached the injector gets a proxy. Which pods reach it is the webhook's selectors'
// business (webhook-configuration.ts). Order of the questions: host network, system namespace, the pod's own word,
// never-selectors, always-selectors, policy.
import { annotationName } from "./annotations.ts";
import type { InjectorConfig } from "./injection.ts";
import { matchesAny } from "./label-selector.ts";
import { type Pod, podAnnotations, podLabels } from "./pod.ts";

/** Namespaces that are never touched. */
export const systemNamespaces: readonly string[] = [
  "kube-system",
  "kube-public",
  "kube-node-lease",
  "local-path-storage",
];

export type InjectionDecision = { readonly inject: true } | { readonly inject: false; readonly reason: string };

export function shouldInject(pod: Pod, namespace: string, config: InjectorConfig = {}): InjectionDecision {
  if (pod.spec.hostNetwork === true) return no("it has host networking enabled");
  if (systemNamespaces.includes(namespace)) return no(`namespace ${namespace} is never injected`);
  const labels = podLabels(pod);
  const own = labels[annotationName.inject] ?? podAnnotations(pod)[annotationName.inject];
  if (own === "true") return { inject: true };
  if (own === "false") return no(`it has ${annotationName.inject}: "false"`);
  if (matchesAny(config.neverInjectSelector, labels)) return no("a neverInjectSelector matches it");
  if (matchesAny(config.alwaysInjectSelector, labels)) return { inject: true };
  return config.policy === "disabled" ? no("the injection policy is disabled") : { inject: true };
}

function no(reason: string): InjectionDecision {
  return { inject: false, reason };
}
