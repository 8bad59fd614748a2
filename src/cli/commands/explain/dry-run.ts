// What a request's end would be if the policies that are only tried were in force: all of them together, beside those that
// are, by the same walk.
import { dryRunAnnotation } from "#mesh/kinds/authorization-policy/spec.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import type { MeshSnapshot } from "#mesh/snapshot/snapshot.ts";
import type { ChangeableMesh } from "../../mesh/changeable-mesh.ts";
import type { Explanation } from "./explain.ts";

/** The explanation with its end under all policies, where the request met one that is only tried. */
export function withDryRun(
  explanation: Explanation,
  mesh: ChangeableMesh,
  explainIn: (snapshot: MeshSnapshot) => Explanation,
): Explanation {
  if (!explanation.steps.some(({ what }) => what === "dry run")) return explanation;
  const { outcome, status, reason } = explainIn(mesh.changed({ edits: enforced }));
  return { ...explanation, dryRun: { outcome, status, reason } };
}

function enforced(object: KubernetesObject): KubernetesObject {
  const { annotations } = object.metadata;
  if (object.kind !== "AuthorizationPolicy" || annotations?.[dryRunAnnotation] === undefined) return object;
  const { [dryRunAnnotation]: _, ...others } = annotations;
  return { ...object, metadata: { ...object.metadata, annotations: others } };
}
