// Networks: parts of the mesh whose workloads cannot reach each other but through gateways. Says which network an
// endpoint is on, and which gateways lead to a network: Services with the label `topology.istio.io/network`, and what
// `meshNetworks` names.
//
// The network of an endpoint, the first that is said: its own field or label, the label of the root namespace, its
// registry and its address in meshNetworks.
import { type Issue, type Origin, Severity } from "#base/issue.ts";
import { networkByAddress } from "../kinds/mesh-config/networks.ts";
import type { MeshConfig, MeshNetwork } from "../kinds/mesh-config/spec.ts";
import type { ServiceSpec } from "../kinds/service/spec.ts";
import type { Labels } from "../objects/fields/selector.ts";
import { selects } from "../objects/fields/selector.ts";
import type { MeshObject } from "../objects/mesh-object.ts";
import { isIpAddress } from "../objects/validate-names.ts";
import type { ObjectTable } from "./object-table.ts";
import { once } from "./once.ts";

export const networkLabel = "topology.istio.io/network";
const portLabel = "networking.istio.io/gatewayPort";
const nodesAnnotation = "traffic.istio.io/nodeSelector";
const defaultPort = 15_443;

export interface NetworkGateway {
  readonly network: string;
  readonly address: string;
  readonly port: number;
  /** Absent for one of meshNetworks that no Service stands for. */
  readonly origin?: Origin;
}

export interface Networks {
  /** Empty: nothing says one. */
  networkOf(address: string, labels: Labels): string;
  /** By address and port; empty: the network is reached directly. */
  gatewaysOf(network: string): readonly NetworkGateway[];
  /** Whether there is a gateway at all. */
  readonly isSplit: boolean;
  /** By which weights are multiplied, so that each can be shared among the gateways of any network. */
  readonly weightScale: number;
  /** Differs when anything of these differs. */
  readonly key: string;
  /** Host names of gateways, which somebody has to resolve; sorted. */
  readonly hostNames: readonly string[];
  /** Gateways whose names have no address. */
  readonly issues: readonly Issue[];
}

/** What was learned about a host name. */
export interface ResolvedHost {
  /** Sorted. */
  readonly addresses: readonly string[];
  /** Why it was not resolved the last time, in words; absent: it was. */
  readonly failure?: string;
}

/** By name. */
export type HostAddresses = ReadonlyMap<string, ResolvedHost>;

export interface NetworkSources {
  readonly objects: ObjectTable;
  readonly meshConfig: MeshConfig;
  readonly clusterId: string;
  readonly domain: string;
  /** Undefined where nobody resolves names, as in a command that reads files only. */
  readonly hostAddresses: HostAddresses | undefined;
}

export function indexNetworks(sources: NetworkSources): Networks {
  const { objects, meshConfig, clusterId, hostAddresses } = sources;
  const { meshNetworks, rootNamespace } = meshConfig;
  const ofRoot = objects.find("Namespace", "", rootNamespace)?.metadata.labels?.[networkLabel] ?? "";
  const ofRegistry = meshNetworks.find(({ endpoints }) => endpoints.some((it) => it.fromRegistry === clusterId))?.name;
  const byAddress = networkByAddress(meshNetworks);
  const said = once(() => gatewaysSaid(sources));
  const gateways = once(() => gatewaysByNetwork(said(), hostAddresses));
  const named = once(() => said().filter(({ address }) => !isIpAddress(address)));
  return {
    networkOf: (address, labels) =>
      labels[networkLabel] || ofRoot || (ofRegistry ?? (meshNetworks.length === 0 ? "" : (byAddress(address) ?? ""))),
    gatewaysOf: (network) => gateways().get(network) ?? [],
    get isSplit() {
      return gateways().size > 0;
    },
    get weightScale() {
      return [...gateways().values()].reduce((scale, { length }) => leastCommonMultiple(scale, length), 1);
    },
    get key() {
      const all = [...gateways()].map(([network, found]) => [network, found.map(gatewayKey)]);
      return JSON.stringify([ofRoot, all.sort()]);
    },
    get hostNames() {
      return [...new Set(named().map(({ address }) => address))].sort();
    },
    get issues() {
      return named().flatMap((gateway) => unresolved(gateway, hostAddresses?.get(gateway.address), rootNamespace));
    },
  };
}

function unresolved(
  { network, address, origin }: NetworkGateway,
  resolved: ResolvedHost | undefined,
  rootNamespace: string,
): Issue[] {
  if (resolved?.failure === undefined || resolved.addresses.length > 0) return [];
  return [
    {
      code: "OUT0022",
      severity: Severity.Warning,
      message: `the gateway ${address} of network ${network} has no address, so that nothing goes through it: ${resolved.failure}`,
      object: origin ?? { kind: "ConfigMap", namespace: rootNamespace, name: "istio" },
    },
  ];
}

/** With addresses in the place of names. */
function gatewaysByNetwork(
  said: readonly NetworkGateway[],
  hostAddresses: HostAddresses | undefined,
): ReadonlyMap<string, readonly NetworkGateway[]> {
  const found = said.flatMap((gateway) =>
    isIpAddress(gateway.address)
      ? [gateway]
      : (hostAddresses?.get(gateway.address)?.addresses ?? []).map((address) => ({ ...gateway, address })),
  );
  return new Map(
    [...Map.groupBy(found, ({ network }) => network)].map(([network, all]) => {
      const byKey = new Map(all.map((gateway) => [gatewayKey(gateway), gateway]));
      return [network, [...byKey.keys()].sort().flatMap((key) => byKey.get(key) ?? [])];
    }),
  );
}

/** By address or host name. */
function gatewaysSaid({ objects, meshConfig, domain }: NetworkSources): NetworkGateway[] {
  const networks: readonly MeshNetwork[] = meshConfig.meshNetworks;
  const found: NetworkGateway[] = [];
  for (const service of objects.all("Service")) {
    const labels = service.metadata.labels ?? {};
    const network = labels[networkLabel];
    if (network) found.push(...gatewaysAt(service, network, Number(labels[portLabel]) || defaultPort, objects));
    const hostname = `${service.name}.${service.namespace}.svc.${domain}`;
    for (const { name, gateways } of networks) {
      for (const { registryServiceName, port } of gateways) {
        if (registryServiceName.toLowerCase() === hostname) found.push(...gatewaysAt(service, name, port, objects));
      }
    }
  }
  for (const { name, gateways } of networks) {
    for (const { address, port } of gateways) if (address !== "") found.push({ network: name, address, port });
  }
  return found;
}

function gatewayKey({ address, port }: NetworkGateway): string {
  return `${address} ${port}`;
}

/** Where a Service is reached from outside. */
function gatewaysAt(
  service: MeshObject<ServiceSpec>,
  network: string,
  port: number,
  objects: ObjectTable,
): NetworkGateway[] {
  const { externalIPs, ingressIPs, ingressHostnames, type, ports } = service.spec;
  const at = (address: string, to: number): NetworkGateway => ({ network, address, port: to, origin: service.origin });
  const outside = [...[...externalIPs, ...ingressIPs].filter(isIpAddress), ...ingressHostnames];
  if (outside.length > 0) return outside.map((address) => at(address, port));
  const selector = service.metadata.annotations?.[nodesAnnotation];
  const nodePort = ports.find((candidate) => candidate.port === port)?.nodePort ?? 0;
  if (type !== "NodePort" || selector === undefined || nodePort === 0) return [];
  const wanted = readLabels(selector);
  if (wanted === undefined) return [];
  return objects
    .all("Node")
    .filter((node) => selects(wanted, node.metadata.labels ?? {}))
    .flatMap((node) => node.spec.addresses.filter(({ type: kind }) => kind === "ExternalIP"))
    .map(({ address }) => at(address, nodePort));
}

function readLabels(json: string): Labels | undefined {
  try {
    const value: unknown = JSON.parse(json);
    if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
    return Object.values(value).every((item) => typeof item === "string") ? (value as Labels) : undefined;
  } catch {
    return undefined;
  }
}

function leastCommonMultiple(a: number, b: number): number {
  let [x, y] = [a, b];
  while (y !== 0) [x, y] = [y, x % y];
  return (a / x) * b;
}
