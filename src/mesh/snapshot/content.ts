// What a snapshot contains, as one version, and what changed between two.
import { createHash } from "node:crypto";
import type { Issue } from "#base/issue.ts";
import type { Entry } from "./read-object.ts";
import type { ObjectChange } from "./snapshot.ts";

/** Equal objects under equal settings give equal versions, in whatever order the objects came. */
export function contentVersion(entries: ReadonlyMap<string, Entry>, settings: string): string {
  const sum = Buffer.from(settings, "hex");
  for (const entry of entries.values()) {
    for (let index = 0; index < sum.length; index++) sum[index] = (sum[index] ?? 0) ^ (entry.hash[index] ?? 0);
  }
  return sum.toString("hex");
}

/** Equal settings give equal text. */
export function settingsVersion(settings: readonly unknown[]): string {
  return createHash("sha256").update(JSON.stringify(settings)).digest("hex").slice(0, 16);
}

/** Compares what is in force. */
export function changesBetween(
  before: ReadonlyMap<string, Entry> | undefined,
  after: ReadonlyMap<string, Entry>,
): ObjectChange[] {
  const changes: ObjectChange[] = [];
  for (const [key, entry] of after) {
    const earlier = before?.get(key)?.object;
    if (entry.object === earlier) continue;
    const { kind, namespace, name } = entry.origin;
    const change = earlier === undefined ? "added" : entry.object === undefined ? "removed" : "changed";
    changes.push({ kind, namespace, name, change });
  }
  for (const [key, entry] of before ?? []) {
    if (after.has(key) || entry.object === undefined) continue;
    const { kind, namespace, name } = entry.origin;
    changes.push({ kind, namespace, name, change: "removed" });
  }
  return changes;
}

/** By file, line, column; issues without a place come last, by object. */
export function sortIssues(issues: readonly Issue[]): Issue[] {
  return [...issues].sort(
    (a, b) =>
      compare(a.position?.file ?? "\uffff", b.position?.file ?? "\uffff") ||
      compare(a.position?.line ?? 0, b.position?.line ?? 0) ||
      compare(a.position?.column ?? 0, b.position?.column ?? 0) ||
      compare(nameOf(a), nameOf(b)),
  );
}

function nameOf(issue: Issue): string {
  return `${issue.object?.namespace ?? ""}/${issue.object?.name ?? ""}`;
}

function compare<T extends string | number>(a: T, b: T): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
