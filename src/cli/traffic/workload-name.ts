// Workloads by name, as `reviews-v1.default`: all pods of one controller are one workload.
import { workloadOwner } from "#mesh/inject/workload-owner.ts";
import { UsageError } from "../context.ts";
import { hasProxy, type Pod, parsePodArgument, podMatches } from "../mesh/pods.ts";

export function workloadName(pod: Pod): string {
  const { name, namespace = "default", labels = {}, ownerReferences = [] } = pod.metadata;
  const owners = ownerReferences.map((owner) => ({ ...owner }));
  return `${workloadOwner({ metadata: { name, labels, ownerReferences: owners }, spec: {} }).name}.${namespace}`;
}

/** One pod for each workload, in the order of their names. */
export function workloadsOf(pods: readonly Pod[]): Map<string, Pod> {
  const byName = new Map<string, Pod>();
  for (const pod of pods) {
    const name = workloadName(pod);
    const known = byName.get(name);
    if (known === undefined || (!hasProxy(known) && hasProxy(pod))) byName.set(name, pod);
  }
  return new Map([...byName].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** What an argument (a pod, a workload, an app label) names. */
export function namedWorkload(pods: readonly Pod[], argument: string, defaultNamespace: string): string {
  const { type, name, namespace } = parsePodArgument(argument, defaultNamespace);
  const there = pods.filter((pod) => (pod.metadata.namespace ?? "default") === namespace);
  const pod = there.find((candidate) => podMatches(candidate, type, name));
  if (pod !== undefined) return workloadName(pod);
  const known = [...workloadsOf(there).keys()].join(", ");
  throw new UsageError(`no workload "${name}" in namespace ${namespace}; there are: ${known === "" ? "none" : known}`);
}
