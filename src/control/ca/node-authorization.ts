// Which service accounts may ask for certificates of other workloads: agents of a node (ztunnel, say), for what runs on
// their own node and nothing else. Istio's CA_TRUSTED_NODE_ACCOUNTS.
import type { WorkloadIdentity } from "#wire/spiffe/spiffe-id.ts";

/** The pod that a token was made for. */
export interface CallingPod {
  readonly name: string;
  readonly uid: string;
}

export interface PodFacts {
  readonly uid: string;
  readonly serviceAccount: string;
  /** Empty for a pod that is not scheduled. */
  readonly nodeName: string;
}

export interface NodePods {
  pod(namespace: string, name: string): PodFacts | undefined;
  /** Whether a pod of the service account is on the node. */
  runsOn(nodeName: string, namespace: string, serviceAccount: string): boolean;
}

export interface NodeAuthorization {
  /** `namespace/name` of service accounts. */
  readonly trustedAccounts: ReadonlySet<string>;
  readonly pods: NodePods;
}

/** Says why the caller may not have a certificate of the identity; undefined when it may. */
export function refuseImpersonation(
  caller: { readonly identity: WorkloadIdentity; readonly pod: CallingPod | undefined },
  wanted: WorkloadIdentity,
  { trustedAccounts, pods }: NodeAuthorization,
): string | undefined {
  const { namespace, serviceAccount } = caller.identity;
  const account = `${namespace}/${serviceAccount}`;
  if (!trustedAccounts.has(account)) return `${account} is not among CA_TRUSTED_NODE_ACCOUNTS`;
  if (caller.pod === undefined) return "the caller's token is not bound to a pod";
  const { name, uid } = caller.pod;
  const pod = pods.pod(namespace, name);
  if (pod === undefined) return `pod ${namespace}/${name} is not known`;
  if (pod.uid !== uid) return `pod ${namespace}/${name} is another one than the token was made for`;
  if (pod.serviceAccount !== serviceAccount) return `pod ${namespace}/${name} has another service account`;
  if (pod.nodeName === "") return `pod ${namespace}/${name} is on no node`;
  if (pods.runsOn(pod.nodeName, wanted.namespace, wanted.serviceAccount)) return undefined;
  return `no pod of ${wanted.namespace}/${wanted.serviceAccount} is on node ${pod.nodeName}`;
}
