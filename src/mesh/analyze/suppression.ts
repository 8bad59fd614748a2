// The annotation `galley.istio.io/analyze-suppress`: codes that are not reported for the object that carries it.
import type { Issue } from "#base/issue.ts";
import { objectKey } from "../objects/mesh-object.ts";
import type { Entry } from "../snapshot/read-object.ts";

const annotation = "galley.istio.io/analyze-suppress";

export function suppressed(issue: Issue, entries: ReadonlyMap<string, Entry>): boolean {
  if (issue.object === undefined) return false;
  const value = entries.get(objectKey(issue.object))?.source.metadata.annotations?.[annotation];
  if (typeof value !== "string") return false;
  const codes = value.split(",").map((code) => code.trim());
  return codes.includes("*") || codes.includes(issue.code);
}
