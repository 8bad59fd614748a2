// Pods as explain sees them: who they are to the control plane, and whether a sidecar stands beside them.
import { type ProxyNode, parseProxyNode } from "#mesh/snapshot/proxy-node.ts";
import { formatWorkloadIdentity } from "#wire/spiffe/spiffe-id.ts";
import { UsageError } from "../../context.ts";
import { hasProxy, type Pod, parsePodArgument, podMatches } from "../../mesh/pods.ts";

export interface ExplainWorkload {
  readonly pod: Pod;
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
  const { type, name, namespace } = parsePodArgument(argument, defaultNamespace);
  const pod = pods.find((candidate) => candidate.metadata.namespace === namespace && podMatches(candidate, type, name));
  if (pod === undefined) {
    const known = [
      ...new Set(
        pods.map(
          (candidate) =>
            `${candidate.metadata.labels?.["app"] ?? candidate.metadata.name}.${candidate.metadata.namespace ?? ""}`,
        ),
      ),
    ];
    throw new UsageError(`no workload "${name}" in namespace ${namespace}; there are: ${known.join(", ")}`);
  }
  return toWorkload(pod, trustDomain);
}

export function workloadAt(pods: readonly Pod[], ip: string, trustDomain: string): ExplainWorkload | undefined {
  const pod = pods.find((candidate) => candidate.status?.podIP === ip);
  return pod === undefined ? undefined : toWorkload(pod, trustDomain);
}

function toWorkload(pod: Pod, trustDomain: string): ExplainWorkload {
  const namespace = pod.metadata.namespace ?? "default";
  const serviceAccount = pod.spec.serviceAccountName ?? "default";
  const ip = pod.status?.podIP ?? "0.0.0.0";
  return {
    pod,
    ip,
    namespace,
    identity: formatWorkloadIdentity({ trustDomain, namespace, serviceAccount }),
    node: hasProxy(pod) ? proxyNode(pod, ip, namespace, serviceAccount) : undefined,
  };
}

function proxyNode(pod: Pod, ip: string, namespace: string, serviceAccount: string): ProxyNode {
  const { name, labels = {} } = pod.metadata;
  const isRouter = [...pod.spec.containers, ...(pod.spec.initContainers ?? [])].some(
    (container) => container.args?.includes("router") ?? false,
  );
  const node = parseProxyNode({
    id: `${isRouter ? "router" : "sidecar"}~${ip}~${name}.${namespace}~${namespace}.svc.cluster.local`,
    metadata: {
      NAME: name,
      NAMESPACE: namespace,
      LABELS: { ...labels },
      SERVICE_ACCOUNT: serviceAccount,
      INSTANCE_IPS: ip,
    },
  });
  if (typeof node === "string") throw new UsageError(`pod ${name}.${namespace}: ${node}`);
  return node;
}
