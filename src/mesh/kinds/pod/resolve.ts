// What a Pod says about the workload that it belongs to.
import type { Labels } from "../../objects/fields/selector.ts";
import type { MeshObject } from "../../objects/mesh-object.ts";
import type { PodSpec } from "./spec.ts";

/** Label that injection sets: the pod's sidecar takes mutual TLS. */
export const tlsModeLabel = "security.istio.io/tlsMode";
export const drainingLabel = "istio.io/draining";

/** The name of the Deployment, Job or other controller; the pod's own name when there is none. */
export function workloadNameOf(pod: MeshObject<PodSpec>): string {
  const owner = pod.metadata.ownerReferences?.find((reference) => reference.controller === true);
  if (owner === undefined) return pod.name;
  const hash = pod.metadata.labels?.["pod-template-hash"];
  if (owner.kind === "ReplicaSet" && hash !== undefined && owner.name.endsWith(`-${hash}`)) {
    return owner.name.slice(0, -hash.length - 1);
  }
  return owner.name;
}

/** The service that telemetry counts a workload under. */
export function canonicalName(labels: Labels, workloadName: string): string {
  return labels["service.istio.io/canonical-name"] ?? labels["app.kubernetes.io/name"] ?? labels["app"] ?? workloadName;
}

export function canonicalRevision(labels: Labels): string {
  return (
    labels["service.istio.io/canonical-revision"] ??
    labels["app.kubernetes.io/version"] ??
    labels["version"] ??
    "latest"
  );
}

/** The number of a container port by name; undefined when no container declares it. */
export function namedPort(pod: PodSpec, name: string, protocol: string): number | undefined {
  for (const container of pod.containers) {
    const found = container.ports.find((port) => port.name === name && port.protocol === protocol);
    if (found !== undefined) return found.containerPort;
  }
  return undefined;
}
