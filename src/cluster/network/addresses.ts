// The addresses of the embedded cluster. They live in a network namespace of their own, so they can be constants: no
// network of the host is in it that they could clash with.

export const bridgeName = "outrigger0";
export const nodeName = "outrigger-node";
/** The node on the bridge: gateway of all pods, where the API server and the DNS server listen. */
export const nodeAddress = "10.244.0.1";
export const podNetwork = "10.244.0.0/16";
export const serviceNetwork = "10.96.0.0/16";
export const kubernetesServiceAddress = "10.96.0.1";
export const dnsServiceAddress = "10.96.0.10";
export const clusterDomain = "cluster.local";
/** The API server's HTTPS port on the node. */
export const apiServerPort = 6443;
/** Where the node takes what pods send to addresses outside of the cluster. */
export const egressRelayPort = 6444;
/** The machine that the cluster runs on, as pods name it. The address is nobody's: it leaves the cluster for no link. */
export const hostAliasName = "host.outrigger.internal";
export const hostAlias = "169.254.1.1";
/** How many pods the node takes: the pod network without the node and the two ends. */
export const podAddressCount = 65_533;

/** Writes the nth address of the pod network, counted from 0 = 10.244.0.2. */
export function podAddress(index: number): string {
  const host = index + 2;
  return `10.244.${host >> 8}.${host & 255}`;
}
