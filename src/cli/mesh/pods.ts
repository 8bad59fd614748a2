// Finding pods as istioctl does: `[<type>/]<name>[.<namespace>]`, a ready one where a workload has several.
import type { KubernetesClient } from "#control/sources/kubernetes/client.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { UsageError } from "../context.ts";
import { podKind } from "./connection.ts";

interface PodStatus {
  readonly phase?: string;
  readonly podIP?: string;
  readonly conditions?: readonly { readonly type: string; readonly status: string }[];
  readonly containerStatuses?: readonly ContainerStatus[];
  readonly initContainerStatuses?: readonly ContainerStatus[];
}

export interface ContainerStatus {
  readonly name: string;
  readonly ready?: boolean;
  readonly restartCount?: number;
  readonly state?: {
    readonly running?: object;
    readonly waiting?: { readonly reason?: string; readonly message?: string };
    readonly terminated?: { readonly reason?: string; readonly exitCode?: number };
  };
}

export interface Container {
  readonly name: string;
  readonly args?: readonly string[];
  readonly env?: readonly { readonly name: string; readonly value?: string }[];
  readonly restartPolicy?: string;
}

export interface Pod extends KubernetesObject {
  readonly spec: {
    readonly serviceAccountName?: string;
    readonly nodeName?: string;
    readonly hostname?: string;
    /** The headless Service that gives the pod a name in DNS, with its hostname before it. */
    readonly subdomain?: string;
    readonly containers: readonly Container[];
    readonly initContainers?: readonly Container[];
  };
  readonly status?: PodStatus;
}

export function isReady(pod: Pod): boolean {
  return (
    pod.status?.conditions?.some((condition) => condition.type === "Ready" && condition.status === "True") ?? false
  );
}

/** Whether its proxy is a gateway's. */
export function isGateway(pod: Pod): boolean {
  return pod.spec.containers.some(({ args }) => args?.includes("router") === true);
}

export function hasProxy(pod: Pod): boolean {
  return containerNames(pod).includes("istio-proxy");
}

/** All containers that stay: ordinary ones, then native sidecars. */
export function containersOf(pod: Pod): Container[] {
  const sidecars = (pod.spec.initContainers ?? []).filter((container) => container.restartPolicy === "Always");
  return [...(pod.spec.containers ?? []), ...sidecars];
}

export function containerNames(pod: Pod): string[] {
  return containersOf(pod).map((container) => container.name);
}

export async function listPods(client: KubernetesClient, namespace?: string): Promise<Pod[]> {
  const { items } = await client.list(podKind, namespace === undefined ? {} : { namespace });
  return items as Pod[];
}

/** The pod that an argument names; throws a sentence with what there is when it names none. */
export async function findPod(client: KubernetesClient, argument: string, defaultNamespace: string): Promise<Pod> {
  const { type, name, namespace } = parsePodArgument(argument, defaultNamespace);
  const pods = await listPods(client, namespace);
  const matching = pods.filter((pod) => podMatches(pod, type, name));
  const found = matching.find(isReady) ?? matching[0];
  if (found === undefined) {
    const names = pods.map((pod) => pod.metadata.name).join(", ");
    throw new UsageError(
      `no ${type} "${name}" in namespace ${namespace}${names === "" ? "" : `; pods there: ${names}`}`,
    );
  }
  return found;
}

const workloadTypes =
  /^(?:po|pods?|deploy|deployments?|svc|services?|sts|statefulsets?|ds|daemonsets?|rs|replicasets?|jobs?)$/;

/** `[<type>/]<name>[.<namespace>]`, or `<namespace>/<name>`. */
export function parsePodArgument(
  argument: string,
  defaultNamespace: string,
): { type: string; name: string; namespace: string } {
  const slash = argument.indexOf("/");
  const type = slash === -1 ? "pod" : argument.slice(0, slash);
  const rest = argument.slice(slash + 1);
  if (!workloadTypes.test(type)) return { type: "pod", name: rest, namespace: type };
  const dot = rest.indexOf(".");
  return dot === -1
    ? { type, name: rest, namespace: defaultNamespace }
    : { type, name: rest.slice(0, dot), namespace: rest.slice(dot + 1) };
}

// A pod counts by its own name, by its workload's (`reviews-v1`) and by its app label (`productpage`).
export function podMatches(pod: Pod, type: string, name: string): boolean {
  const podName = pod.metadata.name;
  if (podName === name || pod.metadata.ownerReferences?.some((owner) => owner.name === name) === true) return true;
  const workload = podName.replace(/-[a-z0-9]+-[a-z0-9]{5}$/, "");
  if (type === "service" || type === "svc") return pod.metadata.labels?.["app"] === name;
  return workload === name || (type === "pod" && pod.metadata.labels?.["app"] === name);
}
