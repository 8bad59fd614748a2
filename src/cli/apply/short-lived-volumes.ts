// What a StatefulSet's claims are in the embedded cluster: there are no persistent volumes, each is an empty folder that
// goes with its pod. Said where it is written, so that nobody looks for data that is gone.
import { type Issue, Severity } from "#base/issue.ts";
import type { ParsedObject } from "#mesh/objects/yaml.ts";

export function shortLivedVolumes({ object, position }: Pick<ParsedObject, "object" | "position">): Issue[] {
  const { volumeClaimTemplates } = (object["spec"] ?? {}) as { readonly volumeClaimTemplates?: unknown };
  if (object.kind !== "StatefulSet" || !Array.isArray(volumeClaimTemplates)) return [];
  return volumeClaimTemplates.map((claim: { readonly metadata?: { readonly name?: string } } | null, index) => {
    const path = `spec.volumeClaimTemplates[${index}]`;
    return {
      code: "OUT0603",
      severity: Severity.Warning,
      message: `${claim?.metadata?.name ?? "the volume"} is an empty folder here that goes with its pod: there are no persistent volumes`,
      object: { kind: object.kind, namespace: object.metadata.namespace ?? "default", name: object.metadata.name },
      position: position(path),
      path,
    };
  });
}
