// What a snapshot contains, as one version, and what changed between two.
import { createHash } from "node:crypto";
import type { Issue } from "#base/issue.ts";
import type { Entry } from "./read-object.ts";
import type { ObjectChange } from "./snapshot.ts";

/** Equal objects under equal settings give equal versions, in whatever order the objects came. */
export function contentVersion(entries: ReadonlyMap<string, Entry>, settings: string): string {
  const sum = Buffer.from(settings, "hex");
  for (const entry of entries.values()) mix(sum, entry.hash);
  return sum.toString("hex");
}

/** The same for what differs from a snapshot whose version is known, under the same settings. */
export function nextVersion(version: string, { before, after }: EntryChanges): string {
  const sum = Buffer.from(version, "hex");
  for (const entry of [...before, ...after]) mix(sum, entry.hash);
  return sum.toString("hex");
}

function mix(sum: Buffer, hash: Uint8Array): void {
  for (let index = 0; index < sum.length; index++) sum[index] = (sum[index] ?? 0) ^ (hash[index] ?? 0);
}

/** Equal settings give equal text. */
export function settingsVersion(settings: readonly unknown[]): string {
  return createHash("sha256").update(JSON.stringify(settings)).digest("hex").slice(0, 16);
}

export interface EntryChanges {
  readonly changes: readonly ObjectChange[];
  /** Entries that were there and are not any more, as they were. */
  readonly before: readonly Entry[];
  /** Entries that are there and were not, as they are. */
  readonly after: readonly Entry[];
}

/** Compares what is in force; costs a look at each entry, and more only for those that differ. */
export function changesBetween(
  before: ReadonlyMap<string, Entry> | undefined,
  after: ReadonlyMap<string, Entry>,
): EntryChanges {
  const changes: ObjectChange[] = [];
  const gone: Entry[] = [];
  const come: Entry[] = [];
  let known = 0;
  for (const [key, entry] of after) {
    const earlier = before?.get(key);
    if (earlier !== undefined) known++;
    if (entry === earlier) continue;
    come.push(entry);
    if (earlier !== undefined) gone.push(earlier);
    if (entry.object === earlier?.object) continue;
    const { kind, namespace, name } = entry.origin;
    const change = earlier?.object === undefined ? "added" : entry.object === undefined ? "removed" : "changed";
    changes.push({ kind, namespace, name, change });
  }
  if (before === undefined || known === before.size) return { changes, before: gone, after: come };
  for (const [key, entry] of before) {
    if (after.has(key)) continue;
    gone.push(entry);
    if (entry.object === undefined) continue;
    const { kind, namespace, name } = entry.origin;
    changes.push({ kind, namespace, name, change: "removed" });
  }
  return { changes, before: gone, after: come };
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
