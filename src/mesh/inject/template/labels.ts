// Labels and annotations that every injected pod gets.
import { annotationName } from "../annotations.ts";
import { podAnnotations, podLabels } from "../pod.ts";
import type { TemplateInput } from "./template-input.ts";

const labelLimit = 63;

/** The names under which telemetry and policy know the workload. */
export function canonicalLabels(input: TemplateInput): Record<string, string> {
  const labels = podLabels(input.pod);
  return {
    "service.istio.io/canonical-name": (
      labels["service.istio.io/canonical-name"] ||
      labels["app.kubernetes.io/name"] ||
      labels["app"] ||
      input.owner.name
    )
      .slice(0, labelLimit)
      .replace(/[^A-Za-z0-9]+$/, ""),
    "service.istio.io/canonical-revision": canonicalRevision(labels),
  };
}

export function canonicalRevision(labels: Readonly<Record<string, string>>): string {
  return (
    labels["service.istio.io/canonical-revision"] ||
    labels["app.kubernetes.io/version"] ||
    labels["version"] ||
    "latest"
  );
}

export function hboneLabels(input: TemplateInput): Record<string, string> {
  const enabled = input.proxyConfig.metadata.some(
    ([name, value]) => name === "ISTIO_META_ENABLE_HBONE" && value === "true",
  );
  return enabled ? { "networking.istio.io/tunnel": podLabels(input.pod)["networking.istio.io/tunnel"] ?? "http" } : {};
}

/** kubectl's choice of container stays the application's. */
export function defaultContainerAnnotations(
  input: TemplateInput,
  containers: readonly string[],
): Record<string, string> {
  const [first] = containers;
  if (first === undefined) return {};
  const annotations = podAnnotations(input.pod);
  const result: Record<string, string> = {};
  for (const name of [annotationName.defaultLogsContainer, annotationName.defaultContainer]) {
    if (annotations[name] === undefined) result[name] = first;
  }
  return result;
}
