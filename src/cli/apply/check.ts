// Decides which of the loaded objects may go to the cluster: an object that is wrong in itself stays out, so that the
// last good version stays in force, and everything else is applied.
import type { Issue } from "#base/issue.ts";
import type { ParsedObject } from "#mesh/objects/yaml.ts";
import { readObject } from "#mesh/snapshot/read-object.ts";
import { withNamespace } from "./default-namespace.ts";
import { shortLivedVolumes } from "./short-lived-volumes.ts";

export interface CheckedConfiguration {
  readonly accepted: readonly ParsedObject[];
  readonly refused: readonly ParsedObject[];
  readonly issues: readonly Issue[];
}

export function checkObjects(objects: readonly ParsedObject[]): CheckedConfiguration {
  const accepted: ParsedObject[] = [];
  const refused: ParsedObject[] = [];
  const issues: Issue[] = [];
  for (const parsed of objects) {
    const entry = readObject(
      { object: withNamespace(parsed.object), position: (path) => parsed.position(path) },
      "cluster.local",
      undefined,
    );
    issues.push(...(entry?.issues ?? []));
    issues.push(...shortLivedVolumes({ object: parsed.object, position: (path) => parsed.position(path) }));
    (entry?.invalid === true ? refused : accepted).push(parsed);
  }
  return { accepted, refused, issues };
}
