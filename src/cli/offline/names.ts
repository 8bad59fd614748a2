// Names, labels and annotations of objects in files, by the rules of the embedded cluster's API server: what it would
// refuse is told before it is asked.
import { type Issue, Severity } from "#base/issue.ts";
import { isDnsLabel, validateLabels, validateMetadata } from "#cluster/admission/validate/names.ts";
import { type FieldProblem, Problems } from "#cluster/admission/validate/problems.ts";
import { asRecord, fieldAt } from "#cluster/store/json.ts";
import { formatResource } from "#cluster/store/resources.ts";
import { findKind } from "#mesh/catalog.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { joinPath } from "#mesh/objects/path.ts";

export function nameIssues(object: KubernetesObject): Issue[] {
  const { name, namespace = "" } = object.metadata;
  const entry = findKind(object.apiVersion, object.kind);
  const problems = new Problems();
  validateMetadata(entry === undefined ? "" : formatResource(entry), asRecord(object.metadata), problems);
  if (namespace !== "" && !isDnsLabel(namespace)) {
    problems.invalid(
      "metadata.namespace",
      namespace,
      "must be a DNS label: lower case letters, digits and -, at most 63",
    );
  }
  const template = ["spec", "template", "metadata", "labels"] as const;
  validateLabels(fieldAt(object, ...template), template.join("."), problems);
  return problems.found.map((problem) => ({
    code: "IST0106",
    severity: Severity.Error,
    object: { kind: object.kind, namespace, name },
    path: fieldPath(problem),
    message: problem.message,
  }));
}

/** Keys of labels have dots and slashes of their own. */
function fieldPath({ path, value }: FieldProblem): string {
  const [, parent = "", key] = /^((?:spec\.template\.)?metadata\.(?:labels|annotations))(?:\.(.*))?$/.exec(path) ?? [];
  if (parent === "") return path;
  if (key !== undefined) return joinPath([...parent.split("."), key]);
  return typeof value === "string" ? joinPath([...parent.split("."), value]) : parent;
}
