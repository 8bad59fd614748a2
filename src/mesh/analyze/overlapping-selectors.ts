// Objects of a kind of which only one can be for a workload, and two select the same pod.
import { type Issue, Severity } from "#base/issue.ts";
import { type Labels, selects } from "../objects/fields/selector.ts";
import type { MeshObject } from "../objects/mesh-object.ts";
import type { ObjectTable } from "../snapshot/object-table.ts";
import { issueOf } from "./context.ts";

interface Selecting {
  readonly object: MeshObject<unknown>;
  readonly labels: Labels;
  readonly path: string;
}

export function overlappingSelectors(all: readonly Selecting[], objects: ObjectTable, code: string): Issue[] {
  const withLabels = all.filter(({ labels }) => Object.keys(labels).length > 0);
  return [...Map.groupBy(withLabels, ({ object }) => object.namespace)].flatMap(([namespace, group]) => {
    const issues = new Map<Selecting, Issue>();
    for (const pod of objects.inNamespace("Pod", namespace)) {
      const choosing = group.filter(({ labels }) => selects(labels, pod.metadata.labels ?? {}));
      for (const one of choosing.length > 1 ? choosing : []) {
        if (issues.has(one)) continue;
        const others = choosing.filter((other) => other !== one).map(({ object }) => object.name);
        const message = `${others.join(", ")} selects the pod ${pod.name} too: only one can be for it`;
        const problem = {
          code,
          severity: Severity.Error,
          path: one.path,
          message,
          fix: "selectors that exclude each other",
        };
        issues.set(one, issueOf(one.object, problem));
      }
    }
    return [...issues.values()];
  });
}
