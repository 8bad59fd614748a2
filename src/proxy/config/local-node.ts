// Where the proxy is among its peers, for zone aware routing: Envoy's `local_cluster_name`, and Istio's cluster of a
// sidecar that discovers itself.
import type { JsonObject } from "@bufbuild/protobuf";

export interface LocalNode {
  /** Name of the cluster that holds the proxy and its peers. */
  readonly cluster: string;
  /** As `EndpointConfig.locality`; empty: as the peer with one of the addresses. */
  readonly locality: string;
  readonly addresses: readonly string[];
}

/** Istio's name of the cluster. */
export const selfDiscoveryCluster = "local_cluster";

/** Where a sidecar is that was told to discover itself (`ISTIO_META_ENABLE_SELF_DISCOVERY`); null for others. */
export function selfDiscovery(node: {
  readonly locality: { readonly region: string; readonly zone: string; readonly subZone: string };
  readonly metadata: JsonObject;
}): LocalNode | null {
  if (String(node.metadata["ENABLE_SELF_DISCOVERY"]) !== "true") return null;
  return localNode(selfDiscoveryCluster, node);
}

/** The proxy in a cluster of that name. */
export function localNode(cluster: string, { locality, metadata }: Parameters<typeof selfDiscovery>[0]): LocalNode {
  const addresses = metadata["INSTANCE_IPS"];
  return {
    cluster,
    locality: localityName(locality),
    addresses: typeof addresses === "string" ? addresses.split(",") : [],
  };
}

/** `region/zone/subzone` without what is not said at the end. */
export function localityName({ region = "", zone = "", subZone = "" }: Partial<LocalityNames> = {}): string {
  if (subZone !== "") return `${region}/${zone}/${subZone}`;
  return zone === "" ? region : `${region}/${zone}`;
}

interface LocalityNames {
  readonly region: string;
  readonly zone: string;
  readonly subZone: string;
}
