// Rules for Telemetries that the types of their fields cannot say (reference 1.15).
import { parse as parseExpression } from "@marcbachmann/cel-js";
import { validateTarget } from "../../objects/fields/policy-target.ts";
import type { Report } from "../../objects/report.ts";
import { type MetricsOverride, TagOperation, type TelemetrySpec } from "./spec.ts";

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
  for (const [index, { providers, randomSamplingPercentage }] of spec.tracing.entries()) {
    const path = `spec.tracing[${index}]`;
    if (providers.length > 1) report({ path: `${path}.providers`, message: "only one provider of traces is possible" });
    if (randomSamplingPercentage !== undefined && (randomSamplingPercentage < 0 || randomSamplingPercentage > 100)) {
      report({ path: `${path}.randomSamplingPercentage`, message: "is not between 0 and 100" });
    }
  }
}

const maxExpressionLength = 4096;

/** Only the syntax is looked at, as by Istio. Null: nothing is wrong. */
function expressionProblem(text: string): string | null {
  if (text.length > maxExpressionLength) return `it is longer than ${maxExpressionLength} characters`;
  try {
    parseExpression(text);
    return null;
  } catch (error) {
    return (error instanceof Error ? error.message : String(error)).split("\n", 1)[0] ?? "";
  }
}

function validateOverride({ match, tagOverrides }: MetricsOverride, path: string, report: Report): void {
  if (match?.customMetric === "") report({ path: `${path}.match.customMetric`, message: "the name is empty" });
  for (const [tag, { operation, value }] of Object.entries(tagOverrides)) {
    const at = `${path}.tagOverrides["${tag}"].value`;
    if (operation === TagOperation.Upsert && value === "") {
      report({ path: at, message: "a value is needed", fix: "a CEL expression, as request.host" });
    }
    if (operation === TagOperation.Remove && value !== "") {
      report({ path: at, message: "a tag that is removed has no value" });
    }
  }
}
