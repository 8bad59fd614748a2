// Which Ingresses are the mesh's, by class and mesh configuration.
import type { IngressSpec } from "../kinds/ingress/spec.ts";
import type { IngressClassSpec } from "../kinds/ingress-class/spec.ts";
import type { MeshConfig } from "../kinds/mesh-config/spec.ts";
import type { MeshObject } from "../objects/mesh-object.ts";

const classAnnotation = "kubernetes.io/ingress.class";
const controller = "istio.io/ingress-controller";

export type IngressSettings = Pick<
  MeshConfig,
  "ingressClass" | "ingressControllerMode" | "ingressSelector" | "ingressService" | "rootNamespace"
>;

/** Undefined: it is the mesh's. A sentence says why it is not. */
export function notOurs(
  ingress: MeshObject<IngressSpec>,
  classes: readonly MeshObject<IngressClassSpec>[],
  { ingressClass, ingressControllerMode }: IngressSettings,
): string | undefined {
  if (ingressControllerMode === "OFF") return "ingressControllerMode of the mesh is OFF";
  const annotated = ingress.metadata.annotations?.[classAnnotation];
  if (annotated !== undefined) {
    if (annotated === ingressClass) return undefined;
    return `the class "${annotated}" is another controller's: the mesh's is "${ingressClass}"`;
  }
  const { ingressClassName } = ingress.spec;
  const found = classes.find(({ name }) => name === ingressClassName);
  if (found !== undefined) {
    if (found.spec.controller === controller) return undefined;
    return `the class "${ingressClassName}" is of the controller ${found.spec.controller}`;
  }
  if (ingressClassName !== "") return `there is no IngressClass "${ingressClassName}"`;
  if (ingressControllerMode === "DEFAULT") return undefined;
  return `it names no class, and ingressControllerMode is STRICT (ingressClassName of a class with ${controller}, or the annotation ${classAnnotation}: ${ingressClass})`;
}
