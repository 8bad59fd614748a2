// Label selectors in the object form: checked once here, then read as they are.

import { asArray, asRecord, isRecord } from "../../store/json.ts";
import type { LabelSelector } from "../../store/selector.ts";
import { validateLabels } from "./names.ts";
import type { Problems } from "./problems.ts";

const operators = ["In", "NotIn", "Exists", "DoesNotExist"];

export function validateSelector(selector: unknown, path: string, problems: Problems): void {
  if (selector === undefined || selector === null) return;
  if (!isRecord(selector)) return problems.invalid(path, selector, "must be a label selector");
  validateLabels(selector["matchLabels"], `${path}.matchLabels`, problems);
  for (const [index, requirement] of asArray(selector["matchExpressions"]).entries()) {
    const { key, operator, values } = asRecord(requirement);
    const at = `${path}.matchExpressions[${index}]`;
    if (typeof key !== "string" || key === "") problems.required(`${at}.key`);
    if (!operators.includes(String(operator)))
      problems.invalid(`${at}.operator`, operator, `must be one of ${operators.join(", ")}`);
    const needsValues = operator === "In" || operator === "NotIn";
    const areTexts = Array.isArray(values) && values.length > 0 && values.every((value) => typeof value === "string");
    if (needsValues && !areTexts) problems.required(`${at}.values`);
  }
}

/** The selector of a validated object; undefined when there is none. */
export function readSelector(selector: unknown): LabelSelector | undefined {
  return isRecord(selector) ? selector : undefined;
}
