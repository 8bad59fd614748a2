// Service addresses as netfilter rules. Pure: services and endpoints in, the input of `iptables-restore` out. The
// network namespace is the cluster's own, so the two tables are replaced whole, in one transaction.

import { createHash } from "node:crypto";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { bridgeName, podNetwork, serviceNetwork } from "./addresses.ts";
import { clusterAddress, type ServicePort, servicePorts } from "./service-endpoints.ts";

export interface ServiceView {
  readonly service: KubernetesObject;
  readonly slices: readonly KubernetesObject[];
}

/** With `egressPort`, TCP of pods to addresses outside of the cluster goes to that port of the node. */
export function serviceRules(views: readonly ServiceView[], egressPort?: number): string {
  const ports = views.flatMap(({ service, slices }) => {
    const address = clusterAddress(service);
    if (address === undefined) return [];
    return servicePorts(service, slices)
      .filter((port) => port.endpoints.length > 0)
      .map((port) => ({ address, port, chain: chainName(address, port) }));
  });
  const backends = new Set(ports.flatMap(({ port }) => port.endpoints.map((endpoint) => endpoint.address)));
  return [
    "*nat",
    ":PREROUTING ACCEPT [0:0]",
    ":INPUT ACCEPT [0:0]",
    ":OUTPUT ACCEPT [0:0]",
    ":POSTROUTING ACCEPT [0:0]",
    ":SERVICES - [0:0]",
    ":HAIRPIN - [0:0]",
    ...ports.map(({ chain }) => `:${chain} - [0:0]`),
    `-A PREROUTING -d ${serviceNetwork} -j SERVICES`,
    `-A OUTPUT -d ${serviceNetwork} -j SERVICES`,
    ...(egressPort === undefined ? [] : egressRules(egressPort)),
    // A pod that reaches itself through a service must not see its own address as the peer's: the answer would not
    // come back through the node, and the connection would never match.
    `-A POSTROUTING -s ${podNetwork} -d ${podNetwork} -m conntrack --ctstate DNAT -j HAIRPIN`,
    ...[...backends].sort().map((address) => `-A HAIRPIN -s ${address}/32 -d ${address}/32 -j MASQUERADE`),
    ...ports.flatMap(({ address, port, chain }) => [
      `-A SERVICES -d ${address}/32 -p ${port.protocol} -m ${port.protocol} --dport ${port.port} -j ${chain}`,
      ...portRules(port, chain),
    ]),
    "COMMIT",
    "*filter",
    ":INPUT ACCEPT [0:0]",
    ":FORWARD ACCEPT [0:0]",
    ":OUTPUT ACCEPT [0:0]",
    ":REFUSE - [0:0]",
    // What still has a service's address here has no endpoint: say so at once.
    `-A FORWARD -d ${serviceNetwork} -j REFUSE`,
    `-A OUTPUT -d ${serviceNetwork} -j REFUSE`,
    "-A REFUSE -p tcp -j REJECT --reject-with tcp-reset",
    "-A REFUSE -j REJECT --reject-with icmp-port-unreachable",
    "COMMIT",
    "",
  ].join("\n");
}

function egressRules(port: number): string[] {
  return [
    ":OUTSIDE - [0:0]",
    `-A PREROUTING -i ${bridgeName} -s ${podNetwork} -p tcp -j OUTSIDE`,
    ...[podNetwork, serviceNetwork].map((network) => `-A OUTSIDE -d ${network} -j RETURN`),
    `-A OUTSIDE -p tcp -j REDIRECT --to-ports ${port}`,
  ];
}

/** The nth of k endpoints is tried with probability 1/(k-n), so that each gets 1/k. */
function portRules(port: ServicePort, chain: string): string[] {
  return port.endpoints.map(({ address, port: target }, index) => {
    const rest = port.endpoints.length - index;
    const draw = rest === 1 ? "" : ` -m statistic --mode random --probability ${(1 / rest).toFixed(10)}`;
    return `-A ${chain} -p ${port.protocol}${draw} -j DNAT --to-destination ${address}:${target}`;
  });
}

/** Chain names have at most 28 characters. */
function chainName(address: string, port: ServicePort): string {
  const key = `${address}/${port.protocol}/${port.port}`;
  return `SVC-${createHash("sha256").update(key).digest("hex").slice(0, 16).toUpperCase()}`;
}
