// IST0110: Sidecars that select the same pod.
import type { Issue } from "#base/issue.ts";
import type { AnalysisContext } from "./context.ts";
import { overlappingSelectors } from "./overlapping-selectors.ts";

export function checkSidecarSelectors({ objects }: AnalysisContext): Issue[] {
  const selecting = objects
    .all("Sidecar")
    .map((object) => ({ object, labels: object.spec.workloadSelector?.labels ?? {}, path: "spec.workloadSelector" }));
  return overlappingSelectors(selecting, objects, "IST0110");
}
