// The downward API: what a pod may learn of itself. Resources are not limited here, so a limit that was not set is the
// machine's, as Kubernetes has it.

import { availableParallelism, totalmem } from "node:os";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { nodeAddress, nodeName } from "../network/addresses.ts";
import { fieldAt } from "../store/json.ts";
import { type ContainerSpec, podSpec, type ResourceFieldRef } from "./pod-spec.ts";

/** The value of `fieldRef.fieldPath`; undefined for a path that does not exist. */
export function fieldValue(pod: KubernetesObject, fieldPath: string, podAddress: string): string | undefined {
  const keyed = /^metadata\.(labels|annotations)\['(.+)'\]$/.exec(fieldPath);
  if (keyed !== null) {
    const values = keyed[1] === "labels" ? pod.metadata.labels : pod.metadata.annotations;
    return values?.[keyed[2] ?? ""] ?? "";
  }
  switch (fieldPath) {
    case "metadata.name":
      return pod.metadata.name;
    case "metadata.namespace":
      return pod.metadata.namespace ?? "";
    case "metadata.uid":
      return pod.metadata.uid ?? "";
    case "metadata.labels":
      return formatMap(pod.metadata.labels);
    case "metadata.annotations":
      return formatMap(pod.metadata.annotations);
    case "spec.nodeName":
      return nodeName;
    case "spec.serviceAccountName":
      return podSpec(pod).serviceAccountName ?? "default";
    case "status.podIP":
    case "status.podIPs":
      return podAddress;
    case "status.hostIP":
    case "status.hostIPs":
      return nodeAddress;
    default:
      return undefined;
  }
}

/** One `key="value"` line for each entry, as the downward API writes maps. */
function formatMap(map: Readonly<Record<string, string>> | undefined): string {
  return Object.entries(map ?? {})
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}=${JSON.stringify(value)}`)
    .join("\n");
}

/** The value of `resourceFieldRef`, in units of its divisor, rounded up. */
export function resourceValue(
  pod: KubernetesObject,
  container: ContainerSpec,
  ref: ResourceFieldRef,
): string | undefined {
  const spec = podSpec(pod);
  const named = [...spec.containers, ...(spec.initContainers ?? [])].find(({ name }) => name === ref.containerName);
  const [list, resource] = ref.resource.split(".");
  if (resource === undefined || (list !== "limits" && list !== "requests")) return undefined;
  const resources = (named ?? container).resources;
  const given = fieldAt(resources, list, resource) ?? fieldAt(resources, "limits", resource);
  const amount = given === undefined ? machineResource(resource) : parseQuantity(String(given));
  const divisor = parseQuantity(String(ref.divisor ?? "1"));
  if (amount === undefined) return undefined;
  return String(Math.ceil(amount / (divisor === undefined || divisor === 0 ? 1 : divisor)));
}

function machineResource(resource: string): number | undefined {
  if (resource === "cpu") return availableParallelism();
  return resource === "memory" ? totalmem() : undefined;
}

const factors: Readonly<Record<string, number>> = {
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  "": 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
};

/** Reads `500m`, `1Gi`, `2`. */
export function parseQuantity(text: string): number | undefined {
  const match = /^([0-9.]+(?:e[+-]?\d+)?)(n|u|m|k|M|G|T|Ki|Mi|Gi|Ti)?$/.exec(text.trim());
  if (match === null) return undefined;
  const amount = Number(match[1]) * (factors[match[2] ?? ""] ?? 1);
  return Number.isFinite(amount) ? amount : undefined;
}
