// Targets of policies and EnvoyFilters that lead to no gateway.
import { isTargeted } from "../../objects/fields/policy-target.ts";
import type { PolicyTargetReference } from "../../objects/fields/selector.ts";
import type { CheckContext } from "./finding.ts";

/**
 * Why a target of an object of the namespace has no effect; undefined when it has one, and while no pod is known at all:
 * then the gateways are not in this snapshot.
 */
export function whyIdle(
  namespace: string,
  reference: PolicyTargetReference,
  { objects, meshConfig }: CheckContext,
): { readonly code: string; readonly message: string } | undefined {
  const { kind, name } = reference;
  const { rootNamespace } = meshConfig;
  if (kind !== "Gateway" && kind !== "GatewayClass") {
    return { code: "OUT0003", message: `a target of kind ${kind} is for waypoints, which are not in force yet` };
  }
  const isOfClass = kind === "GatewayClass";
  if (isOfClass && namespace !== rootNamespace) {
    return { code: "IST0167", message: `a GatewayClass can be targeted from the root namespace ${rootNamespace} only` };
  }
  const pods = isOfClass ? objects.all("Pod") : objects.inNamespace("Pod", namespace);
  if (objects.all("Pod").length === 0) return undefined;
  const isOf = (pod: (typeof pods)[number]): boolean =>
    isTargeted(reference, namespace, { namespace: pod.namespace, labels: pod.metadata.labels ?? {}, rootNamespace });
  if (pods.some(isOf)) return undefined;
  const where = isOfClass ? "of the mesh" : `of namespace ${namespace}`;
  return { code: "IST0127", message: `no pod ${where} belongs to the ${kind} ${name}` };
}
