// How a compiled Envoy resource says which user resource it came from: `metadata.filter_metadata["outrigger"]` of a
// Listener, FilterChain, VirtualHost, Route, Cluster or LbEndpoint is
//   { origins: [{ kind, namespace, name, file?, line? }], policies?: { <RBAC policy name>: <origin> } }
// `policies` stands on a FilterChain because an RBAC policy has no metadata of its own.
// Envoy ignores the key; Istio's own `filter_metadata.istio` stays beside it.
import type { JsonObject } from "@bufbuild/protobuf";
import type { Origin } from "#base/issue.ts";

export const provenanceKey = "outrigger";

/** The value for `filterMetadata[provenanceKey]`. */
export function encodeProvenance(origins: readonly Origin[], policies?: ReadonlyMap<string, Origin>): JsonObject {
  const value: JsonObject = { origins: origins.map(encodeOrigin) };
  if (policies !== undefined && policies.size > 0) {
    value["policies"] = Object.fromEntries([...policies].map(([name, origin]) => [name, encodeOrigin(origin)]));
  }
  return value;
}

export interface Provenance {
  readonly origins: readonly Origin[];
  readonly policies: ReadonlyMap<string, Origin>;
}

export const noProvenance: Provenance = { origins: [], policies: new Map() };

/** Reads provenance from a metadata struct; anything malformed counts as absent. */
export function decodeProvenance(filterMetadata: Readonly<Record<string, JsonObject>> | undefined): Provenance {
  const value = filterMetadata?.[provenanceKey];
  if (value === undefined) return noProvenance;
  const origins = Array.isArray(value["origins"]) ? value["origins"].flatMap((item) => decodeOrigin(item) ?? []) : [];
  const policies = new Map<string, Origin>();
  const named = value["policies"];
  if (typeof named === "object" && named !== null && !Array.isArray(named)) {
    for (const [name, item] of Object.entries(named)) {
      const origin = decodeOrigin(item);
      if (origin !== undefined) policies.set(name, origin);
    }
  }
  return { origins, policies };
}

function encodeOrigin(origin: Origin): JsonObject {
  const value: JsonObject = { kind: origin.kind, namespace: origin.namespace, name: origin.name };
  if (origin.file !== undefined) value["file"] = origin.file;
  if (origin.line !== undefined) value["line"] = origin.line;
  return value;
}

function decodeOrigin(value: unknown): Origin | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { kind, namespace, name, file, line } = value as Record<string, unknown>;
  if (typeof kind !== "string" || typeof namespace !== "string" || typeof name !== "string") return undefined;
  return {
    kind,
    namespace,
    name,
    ...(typeof file === "string" && { file }),
    ...(typeof line === "number" && { line }),
  };
}
