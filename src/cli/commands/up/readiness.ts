// Tells how far the cluster is: which Deployments, StatefulSets and DaemonSets are available, and of those that are not, why.
import type { KubernetesClient } from "#control/sources/kubernetes/client.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { deploymentKind, kind } from "../../mesh/connection.ts";
import { type ContainerStatus, listPods, type Pod } from "../../mesh/pods.ts";

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
  const pods = (await listPods(client)).filter((pod) => pod.status?.phase !== "Succeeded");
  const sentences = pods.flatMap((pod) => {
    const statuses = [...(pod.status?.initContainerStatuses ?? []), ...(pod.status?.containerStatuses ?? [])];
    const stuck = statuses.filter((status) => status.ready !== true).map(describeContainer);
    return stuck.length === 0 ? [] : [`pod ${podName(pod)}: ${stuck.join("; ")}`];
  });
  const { items } = await client.list(kind("v1", "Event"));
  const warnings = items
    .filter((event) => event["type"] === "Warning")
    .slice(-5)
    .map((event) => String(event["message"] ?? ""));
  return [...sentences, ...new Set(warnings)];
}

function podName(pod: Pod): string {
  return `${pod.metadata.name}.${pod.metadata.namespace ?? "default"}`;
}

function describeContainer({ name, state, restartCount }: ContainerStatus): string {
  const restarts = (restartCount ?? 0) > 0 ? `, ${restartCount} restarts` : "";
  if (state?.waiting !== undefined)
    return `${name} waits (${[state.waiting.reason, state.waiting.message].filter(Boolean).join(": ")}${restarts})`;
  if (state?.terminated !== undefined)
    return `${name} ended (${state.terminated.reason ?? ""}, exit code ${state.terminated.exitCode ?? "?"}${restarts})`;
  return `${name} is not ready${restarts}`;
}
