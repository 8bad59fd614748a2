// The proxy that `compile` is asked about: a pod of the files where one is meant, else what the flags say.
import { type Labels, selects } from "#mesh/objects/fields/selector.ts";
import type { ProxyNode } from "#mesh/snapshot/proxy-node.ts";
import { podLocality } from "#mesh/snapshot/workloads.ts";
import { UsageError } from "../../context.ts";
import { proxyFactsOf, proxyNodeOf } from "../../mesh/pod-proxy.ts";
import { type Pod, podMatches } from "../../mesh/pods.ts";
import type { OfflineMesh } from "../../offline/offline-mesh.ts";

export interface ProxyWish {
  readonly type: ProxyNode["type"];
  /** Without one: that of the pod that is meant, else `default`, or `istio-system` for a router. */
  readonly namespace?: string | undefined;
  readonly name?: string | undefined;
  readonly labels?: Labels | undefined;
  readonly ip?: string | undefined;
  readonly serviceAccount?: string | undefined;
}

/** Of a proxy that is no pod of the files; from the range that RFC 5737 keeps for documentation. */
const standInAddress = "192.0.2.1";

export function chooseProxy(wish: ProxyWish, { pods, snapshot }: OfflineMesh): ProxyNode {
  const namespace = wish.namespace ?? (wish.type === "router" ? snapshot.meshConfig.rootNamespace : "default");
  const pod = findPod(wish, podsFor(wish, namespace, pods));
  const facts =
    pod === undefined
      ? { name: wish.name ?? "proxy", namespace, ip: standInAddress, serviceAccount: "default", labels: {} }
      : proxyFactsOf(pod);
  const labels = { ...facts.labels, ...wish.labels };
  const node = proxyNodeOf({
    ...facts,
    type: wish.type,
    ip: wish.ip ?? facts.ip,
    serviceAccount: wish.serviceAccount ?? facts.serviceAccount,
    labels,
    locality: podLocality(labels, pod?.spec.nodeName ?? "", snapshot.table),
  });
  if (typeof node === "string") throw new UsageError(node);
  return node;
}

function podsFor(wish: ProxyWish, namespace: string, pods: readonly Pod[]): Pod[] {
  const inNamespace = pods.filter((pod) => pod.metadata.namespace === namespace);
  return wish.namespace === undefined ? [...inNamespace, ...pods] : inNamespace;
}

function findPod({ name, labels = {}, ip }: ProxyWish, pods: readonly Pod[]): Pod | undefined {
  if (name !== undefined) {
    return pods.find((pod) => pod.metadata.name === name) ?? pods.find((pod) => podMatches(pod, "pod", name));
  }
  if (ip !== undefined) return pods.find((pod) => pod.status?.podIP === ip);
  if (Object.keys(labels).length === 0) return undefined;
  return pods.find((pod) => selects(labels, pod.metadata.labels ?? {}));
}
