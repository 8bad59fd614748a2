// Targets of EnvoyFilters that lead to no gateway.
import { Severity } from "#base/issue.ts";
import { type CheckContext, type Finding, finding } from "./finding.ts";
import { whyIdle } from "./targets.ts";

export function checkEnvoyFilters(context: CheckContext): Finding[] {
  return context.objects.all("EnvoyFilter").flatMap((filter) => {
    const idle = filter.spec.targetRefs.flatMap((reference, index) => {
      const why = whyIdle(filter.namespace, reference, context);
      return why === undefined ? [] : [{ path: `spec.targetRefs[${index}]`, ...why }];
    });
    const effect = idle.length === filter.spec.targetRefs.length ? "nothing" : "partly";
    return idle.map((problem) => finding(filter, { severity: Severity.Warning, ...problem }, effect));
  });
}
