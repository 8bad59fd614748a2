// Answers whether an object of Istio's kinds may be stored: decoded and validated as the snapshot does it, so what is
// admitted is what takes effect. Warnings are passed on without refusing.
import { formatIssue, type Issue, Severity } from "#base/issue.ts";
import type { CounterSeries, MetricRegistry } from "#base/metrics/registry.ts";
import { isRecord } from "#mesh/inject/pod.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import type { AdmissionAnswer, AdmissionRequest } from "./admission-review.ts";

export interface ValidateHandlerOptions {
  readonly loadValidator: () => Promise<(object: KubernetesObject) => readonly Issue[]>;
  readonly metrics: MetricRegistry;
}

export type ValidateHandler = (request: AdmissionRequest) => Promise<AdmissionAnswer>;

const maxIssuesShown = 20;

export function createValidateHandler(options: ValidateHandlerOptions): ValidateHandler {
  const passed = counter(options.metrics, "galley_validation_passed", "Objects that passed validation.");
  const failed = counter(options.metrics, "galley_validation_failed", "Objects that were refused.");
  return async (request) => {
    if (request.operation === "DELETE") return { allowed: true };
    if (!isKubernetesObject(request.object)) {
      failed.increment();
      return { allowed: false, code: 400, message: "the request's object has no apiVersion, kind and metadata.name" };
    }
    const validate = await options.loadValidator();
    const issues = validate(request.object);
    const errors = issues.filter((issue) => issue.severity === Severity.Error);
    if (errors.length > 0) {
      failed.increment();
      return { allowed: false, code: 422, message: describe(errors) };
    }
    passed.increment();
    return { allowed: true, warnings: issues.slice(0, maxIssuesShown).map(formatIssue) };
  };
}

function describe(errors: readonly Issue[]): string {
  const shown = errors.slice(0, maxIssuesShown).map(formatIssue);
  const more = errors.length - shown.length;
  return [...shown, ...(more > 0 ? [`and ${more} more`] : [])].join("\n");
}

function isKubernetesObject(value: unknown): value is KubernetesObject {
  if (!isRecord(value) || typeof value["apiVersion"] !== "string" || typeof value["kind"] !== "string") return false;
  const metadata = value["metadata"];
  return isRecord(metadata) && (typeof metadata["name"] === "string" || typeof metadata["generateName"] === "string");
}

function counter(metrics: MetricRegistry, name: string, help: string): CounterSeries {
  return metrics.counter(name, help).labels();
}
