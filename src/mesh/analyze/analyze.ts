// Everything that can be said about a configuration: the snapshot's own issues (schema, references, conflicts) and those
// of the analyzers, which never change what is in force. Codes are Istio's where it has one.
import type { Issue } from "#base/issue.ts";
import type { BuiltSnapshot } from "../snapshot/build.ts";
import { sortIssues } from "../snapshot/content.ts";
import { meshKind } from "../snapshot/decodable-kinds.ts";
import type { SourceObject } from "../snapshot/read-object.ts";
import { analyzers } from "./analyzers.ts";
import { type AnalysisContext, WrittenObjects } from "./context.ts";
import { suppressed } from "./suppression.ts";

export interface AnalysisInput {
  readonly snapshot: BuiltSnapshot;
  /** All objects as they were written, of kinds that the mesh does not read too. */
  readonly written: readonly SourceObject[];
  /** Milliseconds since 1970: certificates end. */
  readonly now: number;
}

/** All issues, in the order of file and line; those that an object's own annotation suppresses are left out. */
export function analyze({ snapshot, written, now }: AnalysisInput): Issue[] {
  const context: AnalysisContext = { snapshot, objects: snapshot.table, written: new WrittenObjects(written), now };
  const found = analyzers.flatMap(({ check }) => check?.(context) ?? []);
  const annotations = new Map(
    written.map(({ object }) => [keyOf(meshKind(object), object.metadata), object.metadata.annotations]),
  );
  return sortIssues([...snapshot.issues, ...found]).filter(
    (issue) =>
      issue.object === undefined || !suppressed(issue.code, annotations.get(keyOf(issue.object.kind, issue.object))),
  );
}

function keyOf(kind: string, { namespace = "", name }: { readonly namespace?: string; readonly name: string }): string {
  return `${kind}/${namespace}/${name}`;
}
