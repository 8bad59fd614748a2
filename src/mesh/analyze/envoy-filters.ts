// IST0151 and IST0155: patches that are relative to a name that an earlier patch brings or changes, in an EnvoyFilter
// without a priority: which of them comes first is decided by the age of the EnvoyFilters.
import { type Issue, Severity } from "#base/issue.ts";
import { type ConfigPatch, type EnvoyFilterSpec, Operation } from "../kinds/envoy-filter/spec.ts";
import { byAge, type MeshObject } from "../objects/mesh-object.ts";
import { toIssue } from "../objects/report.ts";
import type { ObjectTable } from "../snapshot/object-table.ts";

const relative: ReadonlySet<Operation> = new Set([
  Operation.InsertBefore,
  Operation.InsertAfter,
  Operation.Replace,
  Operation.Merge,
  Operation.MergeAndReplaceList,
  Operation.Remove,
]);

export function checkEnvoyFilterOrder(objects: ObjectTable): Issue[] {
  /** Names by whether a patch of it asks for a version of the proxy. */
  const seen = new Map<string, boolean>();
  return [...objects.all("EnvoyFilter")].sort(byAge).flatMap((filter) => checkFilter(filter, seen));
}

function checkFilter(filter: MeshObject<EnvoyFilterSpec>, seen: Map<string, boolean>): Issue[] {
  const own: [string, boolean][] = [];
  const issues = filter.spec.configPatches.flatMap((patch, index) => {
    const name = nameOf(patch);
    if (name === undefined) return [];
    const hasVersion = (patch.match?.proxy?.proxyVersion ?? "") !== "";
    own.push([name, hasVersion]);
    const earlier = seen.get(name);
    const isRelative = relative.has(patch.patch?.operation ?? Operation.Invalid);
    if (filter.spec.priority !== 0 || !isRelative || earlier === undefined) return [];
    const code = earlier || hasVersion ? "IST0155" : "IST0151";
    const message = `another EnvoyFilter has a patch of ${name} too, and only their age says which comes first`;
    const problem = {
      code,
      severity: Severity.Warning,
      path: `spec.configPatches[${index}]`,
      message,
      fix: "priority",
    };
    return [toIssue(problem, filter.origin, (path) => filter.position(path))];
  });
  for (const [name, hasVersion] of own) seen.set(name, hasVersion || (seen.get(name) ?? false));
  return issues;
}

/** What the patch brings, or what its match names. */
function nameOf({ match, patch }: ConfigPatch): string | undefined {
  const name = patch?.value?.["name"];
  if (typeof name === "string" && name !== "") return name;
  const filter = match?.listener?.filterChain?.filter;
  return filter?.subFilter?.name ?? filter?.name;
}
