// What a Job must have: a template of pods that end, which does not change.
import { asRecord, isRecord, type JsonRecord, jsonEqual } from "../../store/json.ts";
import { validateLabels } from "./names.ts";
import { oneOf, validatePodSpec, whole } from "./pod.ts";
import type { Problems } from "./problems.ts";

const counts = ["parallelism", "completions", "backoffLimit", "activeDeadlineSeconds", "ttlSecondsAfterFinished"];

export function validateJob(object: JsonRecord, stored: JsonRecord | undefined, problems: Problems): void {
  const spec = object["spec"];
  if (!isRecord(spec)) return problems.required("spec");
  for (const field of counts) whole(spec[field], 0, 2 ** 31 - 1, `spec.${field}`, problems);
  oneOf(spec["completionMode"], ["NonIndexed", "Indexed"], "spec.completionMode", problems);
  if (spec["completionMode"] === "Indexed" && spec["completions"] === undefined) problems.required("spec.completions");
  for (const field of ["podFailurePolicy", "successPolicy", "backoffLimitPerIndex"]) {
    if (spec[field] !== undefined) problems.forbidden(`spec.${field}`, "is not supported by this cluster");
  }
  const template = asRecord(spec["template"]);
  validateLabels(asRecord(asRecord(template["metadata"])["labels"]), "spec.template.metadata.labels", problems);
  validatePodSpec(template["spec"], "spec.template.spec", problems);
  const policy = asRecord(template["spec"])["restartPolicy"];
  oneOf(policy, ["OnFailure", "Never"], "spec.template.spec.restartPolicy", problems);
  if (stored === undefined) return;
  for (const field of ["template", "completions", "completionMode"]) {
    if (!jsonEqual(spec[field], asRecord(stored["spec"])[field])) {
      problems.invalid(`spec.${field}`, spec[field], "field is immutable");
    }
  }
}
