// Endpoints of other networks as a client reaches them: through the gateways of those networks, which tell services
// apart by the server name of mutual TLS. What cannot take mutual TLS cannot be reached there.
import type { Endpoint } from "../../snapshot/endpoint.ts";
import { noLocality } from "../../snapshot/endpoint.ts";
import type { NetworkGateway, Networks } from "../../snapshot/networks.ts";
import { networkLabel } from "../../snapshot/networks.ts";
import type { ProxyNode } from "../../snapshot/proxy-node.ts";
import type { LocalityGroup } from "./locality.ts";

/** The client's side. */
export interface NetworkView {
  readonly network: string;
  /** The only networks that it wants to see; undefined: all. */
  readonly visible: readonly string[] | undefined;
}

/** `ISTIO_META_NETWORK` and `ISTIO_META_REQUESTED_NETWORK_VIEW` of the proxy. */
export function networkView({ network, metadata }: ProxyNode): NetworkView {
  const asked = metadata["REQUESTED_NETWORK_VIEW"];
  const visible = typeof asked === "string" ? asked.split(",").map((name) => name.trim()) : [];
  const named = visible.filter((name) => name !== "");
  return { network, visible: named.length === 0 ? undefined : named };
}

/** Puts gateways in the place of endpoints that the client cannot reach, with the weights of those. */
export function reachableGroups(
  groups: readonly LocalityGroup[],
  networks: Networks,
  view: NetworkView,
  clusterId: string,
): LocalityGroup[] {
  return groups.flatMap((group) => {
    const endpoints = reachable(group.endpoints, networks, view, clusterId);
    if (endpoints.length === 0) return [];
    return [{ ...group, endpoints, weight: endpoints.reduce((sum, { weight }) => sum + weight, 0) }];
  });
}

function reachable(
  endpoints: readonly Endpoint[],
  networks: Networks,
  view: NetworkView,
  clusterId: string,
): Endpoint[] {
  const direct: Endpoint[] = [];
  const weights = new Map<NetworkGateway, number>();
  for (const endpoint of endpoints) {
    const { network } = endpoint;
    if (view.visible !== undefined && network !== "" && !view.visible.includes(network)) continue;
    const weight = Math.min(largestWeight, endpoint.weight * networks.weightScale);
    const gateways = networks.gatewaysOf(network);
    const isNear = network === "" || view.network === "" || network === view.network;
    if (isNear || gateways.length === 0) {
      if (endpoint.address !== "") direct.push({ ...endpoint, weight });
      continue;
    }
    if (endpoint.workload.tlsMode !== "istio") continue;
    for (const gateway of gateways) {
      weights.set(gateway, (weights.get(gateway) ?? 0) + Math.floor(weight / gateways.length));
    }
  }
  return [...direct, ...[...weights].map(([gateway, weight]) => gatewayEndpoint(gateway, weight, clusterId))];
}

const largestWeight = 2 ** 32 - 1;

function gatewayEndpoint({ network, address, port }: NetworkGateway, weight: number, clusterId: string): Endpoint {
  return {
    address,
    port,
    servicePortName: "",
    health: "healthy",
    weight: Math.max(1, weight),
    network,
    workload: {
      name: "",
      namespace: "",
      labels: { [networkLabel]: network },
      serviceAccount: "",
      identity: "",
      clusterId,
      canonicalName: "",
      canonicalRevision: "",
      locality: noLocality,
      tlsMode: "istio",
      nodeName: "",
      hostname: "",
    },
  };
}
