// Tells how far the cluster is: which Deployments, StatefulSets and DaemonSets are available, and of those that are not, why.
import type { KubernetesClient } from "#control/sources/kubernetes/client.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { deploymentKind, kind } from "../../mesh/connection.ts";
import { podProblem } from "../../mesh/pod-problem.ts";
import { listPods } from "../../mesh/pods.ts";

export interface Readiness {
  readonly ready: number;
  readonly total: number;
  /** Names of what is not ready yet. */
  readonly waiting: readonly string[];
}

/** A Deployment or StatefulSet; a DaemonSet counts pods of nodes. */
interface Workload extends KubernetesObject {
  readonly spec: { readonly replicas?: number };
  readonly status?: {
    readonly availableReplicas?: number;
    readonly observedGeneration?: number;
    readonly updatedReplicas?: number;
    readonly desiredNumberScheduled?: number;
    readonly numberAvailable?: number;
    readonly updatedNumberScheduled?: number;
  };
}

const kinds = [deploymentKind, kind("apps/v1", "StatefulSet"), kind("apps/v1", "DaemonSet")];

export async function readWorkloads(client: KubernetesClient): Promise<Readiness> {
  const lists = await Promise.all(kinds.map((each) => client.list(each)));
  const workloads = lists.flatMap(({ items }) => items as Workload[]);
  const waiting = workloads.filter((workload) => !isAvailable(workload)).map((workload) => workload.metadata.name);
  return { ready: workloads.length - waiting.length, total: workloads.length, waiting };
}

function isAvailable({ metadata, spec, status = {} }: Workload): boolean {
  const isOfNodes = status.desiredNumberScheduled !== undefined;
  const wanted = status.desiredNumberScheduled ?? spec.replicas ?? 1;
  const available = (isOfNodes ? status.numberAvailable : status.availableReplicas) ?? 0;
  const updated = (isOfNodes ? status.updatedNumberScheduled : status.updatedReplicas) ?? wanted;
  const isCurrent = (status.observedGeneration ?? 0) >= (metadata.generation ?? 0);
  return isCurrent && available >= wanted && updated >= wanted;
}

/** One sentence for each pod that is not ready, and the warnings that the cluster recorded. */
export async function explainWaiting(client: KubernetesClient): Promise<string[]> {
  const sentences = (await listPods(client)).flatMap((pod) => podProblem(pod) ?? []);
  const { items } = await client.list(kind("v1", "Event"));
  const warnings = items
    .filter((event) => event["type"] === "Warning")
    .slice(-5)
    .map((event) => String(event["message"] ?? ""));
  return [...sentences, ...new Set(warnings)];
}
