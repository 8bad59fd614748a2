// The proxy of a pod as the control plane will know it: what its agent reports from the environment of the container.
import type { JsonObject } from "@bufbuild/protobuf";
import { type Locality, noLocality } from "#mesh/snapshot/endpoint.ts";
import { type ProxyNode, parseProxyNode } from "#mesh/snapshot/proxy-node.ts";
import { istioVersion } from "#wire/xds/istio-version.ts";
import { type Container, containersOf, type Pod } from "./pods.ts";

export interface PodProxyFacts {
  readonly type: ProxyNode["type"];
  readonly name: string;
  readonly namespace: string;
  readonly ip: string;
  readonly serviceAccount: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly nodeName?: string;
  readonly locality?: Locality;
  /** Further metadata of the node, without its prefix: `INTERCEPTION_MODE`. */
  readonly metadata?: JsonObject;
}

/** A string says why there can be no such proxy. */
export function proxyNodeOf(facts: PodProxyFacts): ProxyNode | string {
  const { type, name, namespace, ip, serviceAccount, labels, nodeName = "" } = facts;
  const { region, zone, subzone } = facts.locality ?? noLocality;
  return parseProxyNode({
    id: `${type}~${ip}~${name}.${namespace}~${namespace}.svc.cluster.local`,
    cluster: `${labels["app"] ?? "istio-proxy"}.${namespace}`,
    locality: { region, zone, subZone: subzone },
    metadata: {
      ISTIO_VERSION: istioVersion,
      ...facts.metadata,
      NAME: name,
      NAMESPACE: namespace,
      LABELS: { ...labels },
      SERVICE_ACCOUNT: serviceAccount,
      INSTANCE_IPS: ip,
      NODE_NAME: nodeName,
    },
  });
}

/** What the pod says about its proxy; its type is what the container's arguments say. */
export function proxyFactsOf(pod: Pod): PodProxyFacts {
  const { name, namespace = "default", labels = {} } = pod.metadata;
  const proxy = containersOf(pod).find((container) => container.name === "istio-proxy");
  return {
    type: isRouter(pod) ? "router" : "sidecar",
    name,
    namespace,
    ip: pod.status?.podIP ?? "0.0.0.0",
    serviceAccount: pod.spec.serviceAccountName ?? "default",
    labels,
    nodeName: pod.spec.nodeName ?? "",
    metadata: proxy === undefined ? {} : metadataOf(proxy),
  };
}

function isRouter(pod: Pod): boolean {
  return containersOf(pod).some((container) => container.args?.includes("router") ?? false);
}

const metadataPrefix = "ISTIO_META_";

function metadataOf(proxy: Container): JsonObject {
  const written = (proxy.env ?? []).flatMap(({ name, value }) =>
    name.startsWith(metadataPrefix) && value !== undefined ? [[name.slice(metadataPrefix.length), value]] : [],
  );
  return Object.fromEntries(written);
}
