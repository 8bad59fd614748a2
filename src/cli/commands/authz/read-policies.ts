// The authorization policies of a file, to be tried before they are applied.
import { formatIssue, Severity } from "#base/issue.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { withNamespace } from "../../apply/default-namespace.ts";
import { loadConfiguration } from "../../apply/load.ts";
import { type CliContext, UsageError } from "../../context.ts";

export function readPolicies(context: CliContext, path: string): KubernetesObject[] {
  const { objects, issues } = loadConfiguration([path], context.cwd, undefined);
  const [error] = issues.filter(({ severity }) => severity === Severity.Error);
  if (error !== undefined) throw new UsageError(formatIssue(error));
  const policies = objects.map(({ object }) => object).filter(({ kind }) => kind === "AuthorizationPolicy");
  if (policies.length === 0) throw new UsageError(`${path} holds no AuthorizationPolicy`);
  return policies.map(withNamespace);
}
