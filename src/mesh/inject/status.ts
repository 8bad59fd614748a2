// Annotation `sidecar.istio.io/status`: what the injector added, so that it can be taken away again.
import { isRecord, type PodSpec } from "./pod.ts";

export interface InjectionStatus {
  readonly initContainers: readonly string[];
  readonly containers: readonly string[];
  readonly volumes: readonly string[];
  readonly imagePullSecrets: readonly string[];
}

/** The annotation's value; empty lists are written as null, as Istio does. */
export function encodeStatus(added: PodSpec, revision: string): string {
  return JSON.stringify({
    initContainers: names(added.initContainers),
    containers: names(added.containers),
    volumes: names(added.volumes),
    imagePullSecrets: names(added.imagePullSecrets),
    revision,
  });
}

/** undefined for text that no injector wrote. */
export function decodeStatus(text: string): InjectionStatus | undefined {
  const value = parseJson(text);
  if (!isRecord(value)) return undefined;
  return {
    initContainers: strings(value["initContainers"]),
    containers: strings(value["containers"]),
    volumes: strings(value["volumes"]),
    imagePullSecrets: strings(value["imagePullSecrets"]),
  };
}

/** undefined for text that is not JSON. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function names(items: readonly { readonly name?: unknown }[] | undefined): string[] | null {
  const found = (items ?? []).flatMap((item) => (typeof item.name === "string" ? [item.name] : []));
  return found.length === 0 ? null : found;
}

function strings(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((item): item is string => typeof item === "string") : [];
}
