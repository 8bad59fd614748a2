// Everything that can be said about a configuration: the snapshot's own issues (schema, references, conflicts) and the
// checks below, which never change what is in force. Codes are Istio's where it has one.
import type { Issue } from "#base/issue.ts";
import type { BuiltSnapshot } from "../snapshot/build.ts";
import { sortIssues } from "../snapshot/content.ts";
import { checkAnnotations } from "./annotations.ts";
import { checkEnvoyFilterOrder } from "./envoy-filters.ts";
import { checkPortNames } from "./port-names.ts";
import { suppressed } from "./suppression.ts";
import { checkUnreachableRoutes } from "./unreachable-routes.ts";

/** All issues, in the order of file and line; those that an object's own annotation suppresses are left out. */
export function analyze(snapshot: BuiltSnapshot): Issue[] {
  const found = [checkPortNames, checkAnnotations, checkUnreachableRoutes, checkEnvoyFilterOrder].flatMap((check) =>
    check(snapshot.table),
  );
  return sortIssues([...snapshot.issues, ...found]).filter((issue) => !suppressed(issue, snapshot.entries));
}
