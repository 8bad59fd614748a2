// Resources of the proxy's containers: one annotation replaces the installation's whole block.
import { annotationName } from "../annotations.ts";
import { podAnnotations, type Resources } from "../pod.ts";
import type { TemplateInput } from "./template-input.ts";

export function proxyResources(input: TemplateInput): Resources {
  const annotations = podAnnotations(input.pod);
  const requests = amounts(annotations[annotationName.proxyCpu], annotations[annotationName.proxyMemory]);
  const limits = amounts(annotations[annotationName.proxyCpuLimit], annotations[annotationName.proxyMemoryLimit]);
  if (requests === undefined && limits === undefined) return input.values.proxy.resources;
  return { ...(requests !== undefined && { requests }), ...(limits !== undefined && { limits }) };
}

function amounts(cpu: string | undefined, memory: string | undefined): Record<string, string> | undefined {
  if (cpu === undefined && memory === undefined) return undefined;
  return { ...(cpu !== undefined && { cpu }), ...(memory !== undefined && { memory }) };
}
