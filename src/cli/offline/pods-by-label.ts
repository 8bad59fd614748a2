// Pods by namespace and label, so that a selector looks at few of them.
import { type LabelSelector, labelsOf, matchesLabelSelector } from "#cluster/store/selector.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";

export class PodsByLabel<Pod extends KubernetesObject = KubernetesObject> {
  readonly #podsByLabel = new Map<string, Pod[]>();

  constructor(pods: readonly Pod[]) {
    for (const pod of pods) {
      for (const [label, value] of Object.entries(labelsOf(pod))) {
        const key = keyOf(pod.metadata.namespace ?? "default", label, value);
        const list = this.#podsByLabel.get(key);
        if (list === undefined) this.#podsByLabel.set(key, [pod]);
        else list.push(pod);
      }
    }
  }

  /** In the order in which they were given. A selector without `matchLabels` selects nothing here. */
  selectedBy(namespace: string, selector: LabelSelector): readonly Pod[] {
    const lists = Object.entries(selector.matchLabels ?? {}).map(
      ([label, value]) => this.#podsByLabel.get(keyOf(namespace, label, value)) ?? [],
    );
    const [shortest = []] = lists.sort((a, b) => a.length - b.length);
    return shortest.filter((pod) => matchesLabelSelector(selector, labelsOf(pod)));
  }
}

function keyOf(namespace: string, label: string, value: string): string {
  return `${namespace}/${label}=${value}`;
}
