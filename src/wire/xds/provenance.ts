// How a compiled Envoy resource says which user resource it came from: `metadata.filter_metadata["outrigger"]` of a
// Listener, FilterChain, VirtualHost, Route, Cluster or LbEndpoint is
//   { origins: [{ kind, namespace, name, file?, line? }], note?, policies?: { <RBAC policy name>: <origin + note?, neverMatches?> } }
// `policies` stands on a FilterChain because an RBAC policy has no metadata of its own.
// Envoy ignores the key; Istio's own `filter_metadata.istio` stays beside it.
import type { JsonObject } from "@bufbuild/protobuf";
import { formatOrigin, type Origin } from "#base/issue.ts";

export const provenanceKey = "outrigger";

/** Where an RBAC policy was written, and what its rules do not show. */
export interface PolicyOrigin extends Origin {
  /** Why it decides otherwise than one who reads the file would think, as a sentence without its subject and end. */
  readonly note?: string;
  /** No filter of the chain has it, because it could not match anything there. */
  readonly neverMatches?: true;
}

/** The value for `filterMetadata[provenanceKey]`. */
export function encodeProvenance({ origins, note = "", policies }: Partial<Provenance>): JsonObject {
  const value: JsonObject = { origins: (origins ?? []).map(encodeOrigin) };
  if (note !== "") value["note"] = note;
  if (policies !== undefined && policies.size > 0) {
    value["policies"] = Object.fromEntries([...policies].map(([name, origin]) => [name, encodePolicy(origin)]));
  }
  return value;
}

export interface Provenance {
  readonly origins: readonly Origin[];
  /** Why traffic ends up here, where the resource does not show it, as a sentence without its end; empty: it does. */
  readonly note: string;
  readonly policies: ReadonlyMap<string, PolicyOrigin>;
}

export const noProvenance: Provenance = { origins: [], note: "", policies: new Map() };

/** The note behind a sentence, with where it was written. */
export function noteText({ note, origins }: Provenance = noProvenance): string {
  if (note === "") return "";
  const places = origins.map(formatOrigin).join(", ");
  return places === "" ? `: ${note}` : `: ${note} (${places})`;
}

/** Reads provenance from a metadata struct; anything malformed counts as absent. */
export function decodeProvenance(filterMetadata: Readonly<Record<string, JsonObject>> | undefined): Provenance {
  const value = filterMetadata?.[provenanceKey];
  if (value === undefined) return noProvenance;
  const origins = Array.isArray(value["origins"]) ? value["origins"].flatMap((item) => decodeOrigin(item) ?? []) : [];
  const policies = new Map<string, PolicyOrigin>();
  const named = value["policies"];
  if (typeof named === "object" && named !== null && !Array.isArray(named)) {
    for (const [name, item] of Object.entries(named)) {
      const origin = decodePolicy(item);
      if (origin !== undefined) policies.set(name, origin);
    }
  }
  const note = typeof value["note"] === "string" ? value["note"] : "";
  return { origins, note, policies };
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

function encodePolicy(policy: PolicyOrigin): JsonObject {
  const value = encodeOrigin(policy);
  if (policy.note !== undefined) value["note"] = policy.note;
  if (policy.neverMatches === true) value["neverMatches"] = true;
  return value;
}

function decodePolicy(value: unknown): PolicyOrigin | undefined {
  const origin = decodeOrigin(value);
  if (origin === undefined) return undefined;
  const { note, neverMatches } = value as Record<string, unknown>;
  return { ...origin, ...(typeof note === "string" && { note }), ...(neverMatches === true && { neverMatches }) };
}
