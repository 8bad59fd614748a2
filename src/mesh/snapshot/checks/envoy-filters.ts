// Targets of EnvoyFilters that lead to no gateway.
import { Severity } from "#base/issue.ts";
import type { EnvoyFilterSpec } from "../../kinds/envoy-filter/spec.ts";
import { isTargeted } from "../../objects/fields/policy-target.ts";
import type { PolicyTargetReference } from "../../objects/fields/selector.ts";
import type { MeshObject } from "../../objects/mesh-object.ts";
import { type CheckContext, type Finding, finding } from "./finding.ts";

export function checkEnvoyFilters(context: CheckContext): Finding[] {
  return context.objects.all("EnvoyFilter").flatMap((filter) => {
    const idle = filter.spec.targetRefs.flatMap((reference, index) => {
      const why = whyIdle(filter, reference, context);
      return why === undefined ? [] : [{ path: `spec.targetRefs[${index}]`, ...why }];
    });
    const effect = idle.length === filter.spec.targetRefs.length ? "nothing" : "partly";
    return idle.map((problem) => finding(filter, { severity: Severity.Warning, ...problem }, effect));
  });
}

/** Nothing is said while no pod is known at all: then the gateways are not in this snapshot. */
function whyIdle(
  { namespace }: MeshObject<EnvoyFilterSpec>,
  reference: PolicyTargetReference,
  { objects, meshConfig }: CheckContext,
): { readonly code: string; readonly message: string } | undefined {
  const { kind, name } = reference;
  if (kind !== "Gateway" && kind !== "GatewayClass") {
    return { code: "OUT0003", message: `a target of kind ${kind} is for waypoints, which are not in force yet` };
  }
  const isOfClass = kind === "GatewayClass";
  if (isOfClass && namespace !== meshConfig.rootNamespace) {
    const message = `a GatewayClass can be targeted from the root namespace ${meshConfig.rootNamespace} only`;
    return { code: "IST0167", message };
  }
  const pods = isOfClass ? objects.all("Pod") : objects.inNamespace("Pod", namespace);
  if (objects.all("Pod").length === 0) return undefined;
  if (pods.some(({ metadata }) => isTargeted(reference, metadata.labels ?? {}))) return undefined;
  const where = isOfClass ? "of the mesh" : `of namespace ${namespace}`;
  return { code: "IST0127", message: `no pod ${where} belongs to the ${kind} ${name}` };
}
