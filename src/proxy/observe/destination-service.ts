// Names of the destination service for metrics: from the cluster's Istio metadata, else the name of a special cluster,
// else the Host header, as Istio's stats filter does.
import { isIP } from "node:net";
import type { ClusterConfig } from "../config/cluster.ts";

export interface DestinationService {
  readonly host: string;
  readonly name: string;
  readonly namespace: string;
}

const unknown = "unknown";

/** Clusters that stand for no service; their name is shown instead of one. */
const specialClusters = new Set([
  "BlackHoleCluster",
  "PassthroughCluster",
  "InboundPassthroughCluster",
  "InboundPassthroughClusterIpv4",
  "InboundPassthroughClusterIpv6",
]);

/** Null when the answer depends on the Host header. */
export function serviceOfCluster(cluster: ClusterConfig | null): DestinationService | null {
  const service = cluster?.services[0];
  if (service === undefined) return null;
  return {
    host: service.host || unknown,
    name: service.name || unknown,
    namespace: service.namespace || unknown,
  };
}

/** For clusters without service metadata, and for requests without a cluster. */
export function serviceOfAuthority(cluster: ClusterConfig | null, authority: string | undefined): DestinationService {
  const host = authority === undefined || authority === "" ? unknown : authority.toLowerCase();
  if (cluster !== null && specialClusters.has(cluster.name)) return { host, name: cluster.name, namespace: unknown };
  if (host === unknown) return { host, name: unknown, namespace: unknown };
  return { host, name: nameOfHost(host), namespace: unknown };
}

/** The first label of a name; an address is its own name. */
function nameOfHost(host: string): string {
  if (host.startsWith("[")) return host.slice(0, host.indexOf("]") + 1);
  const plain = host.replace(/:\d+$/, "");
  if (isIP(plain) !== 0) return plain;
  const end = plain.indexOf(".");
  return end === -1 ? plain : plain.slice(0, end);
}
