// The selectors of the injector's configuration that switch injection on or off for pods.
import { type KubernetesSelector, type Labels, matchesKubernetesSelector } from "../objects/fields/selector.ts";

/** A selector that says nothing matches nothing here: it would otherwise switch injection for every pod. */
export function matchesAny(selectors: readonly KubernetesSelector[] | undefined, labels: Labels): boolean {
  return (selectors ?? []).some(
    (selector) =>
      (Object.keys(selector.matchLabels ?? {}).length > 0 || (selector.matchExpressions ?? []).length > 0) &&
      matchesKubernetesSelector(selector, labels),
  );
}
