// Rules for Telemetries that the types of their fields cannot say (reference 1.15).
import { parse as parseExpression } from "@marcbachmann/cel-js";
import { validateTarget } from "../../objects/fields/policy-target.ts";
import type { Report } from "../../objects/report.ts";
import { warn } from "../../objects/validate-names.ts";
import { type CustomTag, type MetricsOverride, TagOperation, type TelemetrySpec } from "./spec.ts";

export function validateTelemetry(spec: TelemetrySpec, report: Report): void {
  validateTarget(spec, report);
  for (const field of ["accessLogging", "metrics", "tracing"] as const) {
    for (const [index, { providers }] of spec[field].entries()) {
      for (const [at, { name }] of providers.entries()) {
        if (name !== "") continue;
        report({ path: `spec.${field}[${index}].providers[${at}].name`, message: "a provider needs a name" });
      }
    }
  }
  for (const [index, { filter }] of spec.accessLogging.entries()) {
    if (filter === undefined) continue;
    const problem = expressionProblem(filter.expression);
    if (problem === null) continue;
    report({
      path: `spec.accessLogging[${index}].filter.expression`,
      message: `the expression is not valid CEL: ${problem}`,
      fix: "an expression of Envoy's attributes, as response.code >= 400",
    });
  }
  for (const [index, { overrides, reportingInterval }] of spec.metrics.entries()) {
    if (reportingInterval !== undefined && reportingInterval < 1) {
      report({ path: `spec.metrics[${index}].reportingInterval`, message: "the interval is shorter than 1ms" });
    }
    for (const [at, override] of overrides.entries()) {
      validateOverride(override, `spec.metrics[${index}].overrides[${at}]`, report);
    }
  }
  if (spec.tracing.length > 1) report(warn("spec.tracing[1]", "of several, the last that says something counts"));
  for (const [index, { providers, randomSamplingPercentage, customTags }] of spec.tracing.entries()) {
    const path = `spec.tracing[${index}]`;
    for (const [name, tag] of Object.entries(customTags))
      validateTag(name, tag, `${path}.customTags["${name}"]`, report);
    if (providers.length > 1) report(warn(`${path}.providers[1]`, "only the first provider of traces counts"));
    if (randomSamplingPercentage !== undefined && (randomSamplingPercentage < 0 || randomSamplingPercentage > 100)) {
      report({ path: `${path}.randomSamplingPercentage`, message: "is not between 0 and 100" });
    }
  }
}

const maxExpressionLength = 4096;

/** Only the syntax is looked at, as Istio does for logs. Null: nothing is wrong. */
function expressionProblem(text: string): string | null {
  if (text.length > maxExpressionLength) return `it is longer than ${maxExpressionLength} characters`;
  try {
    parseExpression(text);
    return null;
  } catch (error) {
    return (error instanceof Error ? error.message : String(error)).split("\n", 1)[0] ?? "";
  }
}

function validateTag(name: string, tag: CustomTag, path: string, report: Report): void {
  if (name === "") report({ path, message: "a tag needs a name" });
  const { literal, environment, header, formatter } = tag;
  const kinds = [literal, environment, header, formatter].filter((kind) => kind !== undefined);
  if (kinds.length !== 1) {
    const message = kinds.length === 0 ? "a tag needs a value" : "a tag has one kind of value";
    report({ path, message, fix: "one of literal, environment, header and formatter" });
  }
  if (literal?.value === "") report({ path: `${path}.literal.value`, message: "the value is empty" });
  if (formatter?.value === "") report({ path: `${path}.formatter.value`, message: "the value is empty" });
  if (environment?.name === "") report({ path: `${path}.environment.name`, message: "names no variable" });
  if (header?.name === "") report({ path: `${path}.header.name`, message: "names no header" });
}

function validateOverride({ match, tagOverrides }: MetricsOverride, path: string, report: Report): void {
  if (match?.metric !== undefined && match.customMetric !== undefined) {
    report({ path: `${path}.match.customMetric`, message: "metric and customMetric cannot both be set" });
  }
  if (match?.customMetric === "") report({ path: `${path}.match.customMetric`, message: "the name is empty" });
  for (const [tag, { operation, value }] of Object.entries(tagOverrides)) {
    if (tag === "") report(warn(`${path}.tagOverrides[""]`, "a tag without a name has no effect"));
    const at = `${path}.tagOverrides["${tag}"].value`;
    if (operation === TagOperation.Upsert && value === "") {
      report({ path: at, message: "a value is needed", fix: "a CEL expression, as request.host" });
    }
    if (operation === TagOperation.Remove && value !== "") {
      report({ path: at, message: "a tag that is removed has no value" });
    }
    const problem = operation === TagOperation.Upsert && value !== "" ? expressionProblem(value) : null;
    if (problem !== null) report(warn(at, `the expression is not valid CEL, so the tag is left out: ${problem}`));
  }
}
