// The pods that controllers would make of the workloads in files, so that an application's YAML is enough. Workloads
// whose pods stand in the files themselves make none.
import { asArray, asRecord, fieldAt } from "#cluster/store/json.ts";
import type { LabelSelector } from "#cluster/store/selector.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import type { Pod } from "../mesh/pods.ts";
import { PodsByLabel } from "./pods-by-label.ts";

/** A template and the names of its pods. */
export interface PodSet {
  readonly template: Pod;
  readonly workload: KubernetesObject;
  readonly podNames: readonly string[];
}

const controllers: ReadonlySet<string> = new Set([
  "apps/v1/Deployment",
  "apps/v1/ReplicaSet",
  "apps/v1/StatefulSet",
  "apps/v1/DaemonSet",
  "v1/ReplicationController",
  "batch/v1/Job",
]);

/** More endpoints of one workload tell nothing more about its configuration. */
const maxPods = 1000;

export function podSets(objects: readonly KubernetesObject[]): PodSet[] {
  const pods = new PodsByLabel(objects.filter(({ kind }) => kind === "Pod"));
  const nodeNames = objects.filter(({ kind }) => kind === "Node").map(({ metadata }) => metadata.name);
  return objects.flatMap((workload) => {
    const template = templateOf(workload);
    if (template === undefined || hasPods(workload, pods)) return [];
    return { template, workload, podNames: podNames(workload, nodeNames.length) };
  });
}

/** One pod of a set; its place decides about its name and, for a StatefulSet, its host name. */
export function podOfSet({ workload, podNames: names }: PodSet, template: Pod, index: number): Pod {
  const name = names[index] ?? "";
  const serviceName = fieldAt(workload, "spec", "serviceName");
  const identity =
    workload.kind === "StatefulSet"
      ? { hostname: name, ...(typeof serviceName === "string" && { subdomain: serviceName }) }
      : {};
  return { ...template, metadata: { ...template.metadata, name }, spec: { ...template.spec, ...identity } };
}

function templateOf(workload: KubernetesObject): Pod | undefined {
  const { apiVersion, kind, metadata } = workload;
  if (!controllers.has(`${apiVersion}/${kind}`)) return undefined;
  // A dump of a cluster holds ReplicaSets beside their Deployments.
  if (metadata.ownerReferences?.some((owner) => owner.controller === true) === true) return undefined;
  const template = asRecord(fieldAt(workload, "spec", "template"));
  const spec = asRecord(template["spec"]);
  if (asArray(spec["containers"]).length === 0) return undefined;
  const owner = { apiVersion, kind, name: metadata.name, uid: metadata.uid ?? "", controller: true };
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      ...asRecord(template["metadata"]),
      name: metadata.name,
      namespace: metadata.namespace ?? "default",
      ownerReferences: [owner],
    },
    spec: spec as Pod["spec"],
  };
}

function hasPods(workload: KubernetesObject, pods: PodsByLabel): boolean {
  const selector = asRecord(fieldAt(workload, "spec", "selector"));
  const isPlain = workload.kind === "ReplicationController";
  const labels = isPlain ? selector : asRecord(selector["matchLabels"]);
  if (Object.keys(labels).length === 0) return false;
  const wanted: LabelSelector = isPlain ? { matchLabels: labels as Record<string, string> } : selector;
  return pods.selectedBy(workload.metadata.namespace ?? "default", wanted).length > 0;
}

function podNames({ kind, metadata, ...workload }: KubernetesObject, nodes: number): string[] {
  const replicas = fieldAt(workload, "spec", "replicas");
  const wanted = kind === "DaemonSet" ? Math.max(1, nodes) : typeof replicas === "number" ? replicas : 1;
  const count = Math.min(Math.max(0, Math.floor(wanted)), maxPods);
  return Array.from({ length: count }, (_, index) => `${metadata.name}-${index}`);
}
