// Workloads as explain sees them: who they are to the control plane, and whether a sidecar stands beside them.
import type { ProxyNode } from "#mesh/snapshot/proxy-node.ts";
import { formatWorkloadIdentity } from "#wire/spiffe/spiffe-id.ts";
import { UsageError } from "../../context.ts";
import { type PodProxyFacts, proxyFactsOf, proxyNodeOf } from "../../mesh/pod-proxy.ts";
import { hasProxy, type Pod, parsePodArgument, podMatches } from "../../mesh/pods.ts";

export interface ExplainWorkload {
  /** `reviews-v1-0.default` */
  readonly name: string;
  readonly ip: string;
  readonly namespace: string;
  readonly identity: string;
  /** Undefined for a pod outside the mesh. */
  readonly node: ProxyNode | undefined;
}

export function findWorkload(
  pods: readonly Pod[],
  argument: string,
  defaultNamespace: string,
  trustDomain: string,
): ExplainWorkload {
  return workloadOfPod(findPodOf(pods, argument, defaultNamespace), trustDomain);
}

export function findPodOf(pods: readonly Pod[], argument: string, defaultNamespace: string): Pod {
  const { type, name, namespace } = parsePodArgument(argument, defaultNamespace);
  const pod = pods.find((candidate) => candidate.metadata.namespace === namespace && podMatches(candidate, type, name));
  if (pod !== undefined) return pod;
  const known = new Set(
    pods.map(({ metadata }) => `${metadata.labels?.["app"] ?? metadata.name}.${metadata.namespace}`),
  );
  const there = known.size === 0 ? "there are none" : `there are: ${[...known].join(", ")}`;
  throw new UsageError(`no workload "${name}" in namespace ${namespace}; ${there}`);
}

export function workloadAt(pods: readonly Pod[], ip: string, trustDomain: string): ExplainWorkload | undefined {
  const pod = pods.find((candidate) => candidate.status?.podIP === ip);
  return pod === undefined ? undefined : workloadOfPod(pod, trustDomain);
}

export function workloadOfPod(pod: Pod, trustDomain: string): ExplainWorkload {
  const facts = proxyFactsOf(pod);
  return hasProxy(pod) ? workloadOf(facts, trustDomain) : { ...workloadOf(facts, trustDomain), node: undefined };
}

/** Of a proxy, be it a pod's or only thought of. */
export function workloadOf(facts: PodProxyFacts, trustDomain: string): ExplainWorkload {
  const { name, namespace, ip, serviceAccount } = facts;
  const node = proxyNodeOf(facts);
  if (typeof node === "string") throw new UsageError(`${name}.${namespace}: ${node}`);
  const identity = formatWorkloadIdentity({ trustDomain, namespace, serviceAccount });
  return { name: `${name}.${namespace}`, ip, namespace, identity, node };
}
