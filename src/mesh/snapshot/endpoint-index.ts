// The endpoints of every service port, computed when they are first asked for and kept for the snapshot.
import type { EndpointSliceSpec, SliceEndpoint } from "../kinds/endpoint-slice/spec.ts";
import { drainingLabel, namedPort } from "../kinds/pod/resolve.ts";
import type { PodSpec } from "../kinds/pod/spec.ts";
import { EntryResolution, type ServiceEntrySpec } from "../kinds/service-entry/spec.ts";
import { type Labels, selects } from "../objects/fields/selector.ts";
import type { WorkloadAddress } from "../objects/fields/workload.ts";
import type { MeshObject } from "../objects/mesh-object.ts";
import type { Endpoint, Workload } from "./endpoint.ts";
import { once } from "./once.ts";
import { type Service, type ServicePort, servicePort } from "./service.ts";
import { unknownWorkload, type WorkloadContext, workloadOfAddress, workloadOfPod } from "./workloads.ts";

export interface EndpointIndex {
  /** All endpoints of a port, in a stable order. */
  of(service: Service, portNumber: number): readonly Endpoint[];
  podAt(address: string): MeshObject<PodSpec> | undefined;
  workloadOfPod(pod: MeshObject<PodSpec>): Workload;
}

/** `refusesMtls` tells whether the policies of a workload switch mutual TLS off on a port. */
export function indexEndpoints(
  context: WorkloadContext,
  refusesMtls: (workload: Workload, port: number) => boolean,
): EndpointIndex {
  const { objects } = context;
  const slices = Map.groupBy(
    [...objects.all("EndpointSlice")].sort((a, b) => (a.name < b.name ? -1 : 1)),
    (slice) => `${slice.namespace}/${slice.spec.serviceName}`,
  );
  const pods = once(() => podsByAddress(objects.all("Pod")));
  const workloads = new Map<MeshObject<PodSpec>, Workload>();
  const podWorkload = (pod: MeshObject<PodSpec>): Workload => {
    let workload = workloads.get(pod);
    if (workload === undefined) {
      workload = workloadOfPod(pod, context);
      workloads.set(pod, workload);
    }
    return workload;
  };
  const sources: Sources = { context, slices, podAt: (address) => pods().get(address), podWorkload };
  const memo = new Map<Service, Map<number, readonly Endpoint[]>>();
  return {
    podAt: sources.podAt,
    workloadOfPod: podWorkload,
    of(service, portNumber) {
      let ports = memo.get(service);
      if (ports === undefined) {
        ports = new Map();
        memo.set(service, ports);
      }
      let endpoints = ports.get(portNumber);
      if (endpoints === undefined) {
        const port = servicePort(service, portNumber);
        const found = port === undefined ? [] : collect(service, port, sources);
        endpoints = found.map((endpoint) => withoutRefusedMtls(endpoint, refusesMtls));
        ports.set(portNumber, endpoints);
      }
      return endpoints;
    },
  };
}

function podsByAddress(pods: readonly MeshObject<PodSpec>[]): ReadonlyMap<string, MeshObject<PodSpec>> {
  const byAddress = new Map<string, MeshObject<PodSpec>>();
  for (const pod of pods) {
    if (pod.spec.hostNetwork || pod.spec.phase === "Succeeded" || pod.spec.phase === "Failed") continue;
    for (const address of pod.spec.podIPs) byAddress.set(address, pod);
  }
  return byAddress;
}

/** A Service of type ExternalName leads to another name. */
function aliasEndpoint(service: Service, port: ServicePort, context: WorkloadContext): Endpoint {
  return {
    address: service.externalName,
    port: typeof port.targetPort === "number" ? port.targetPort : port.number,
    servicePortName: port.name,
    workload: unknownWorkload(service.namespace, "", "", context),
    health: "healthy",
    weight: 1,
    network: "",
  };
}

interface Sources {
  readonly context: WorkloadContext;
  readonly slices: ReadonlyMap<string, readonly MeshObject<EndpointSliceSpec>[]>;
  readonly podAt: (address: string) => MeshObject<PodSpec> | undefined;
  readonly podWorkload: (pod: MeshObject<PodSpec>) => Workload;
}

function withoutRefusedMtls(endpoint: Endpoint, refusesMtls: (workload: Workload, port: number) => boolean): Endpoint {
  if (endpoint.workload.tlsMode !== "istio" || !refusesMtls(endpoint.workload, endpoint.port)) return endpoint;
  return { ...endpoint, workload: { ...endpoint.workload, tlsMode: "disabled" } };
}

function collect(service: Service, port: ServicePort, sources: Sources): Endpoint[] {
  if (service.source === "service-entry") return entryEndpoints(service, port, sources);
  if (service.externalName !== "") return [aliasEndpoint(service, port, sources.context)];
  const fromSlices = (sources.slices.get(`${service.namespace}/${service.name}`) ?? []).flatMap((slice) =>
    sliceEndpoints(slice, port, sources),
  );
  return unique([...fromSlices, ...selectedEntries(service, port, sources)]);
}

function sliceEndpoints(slice: MeshObject<EndpointSliceSpec>, port: ServicePort, sources: Sources): Endpoint[] {
  if (slice.spec.addressType === "FQDN") return [];
  const target = slice.spec.ports.find((candidate) => candidate.name === port.name);
  if (target === undefined) return [];
  return slice.spec.endpoints.flatMap((endpoint) => {
    const [address] = endpoint.addresses;
    if (address === undefined) return [];
    const pod = podOf(endpoint, address, sources);
    const workload =
      pod === undefined
        ? unknownWorkload(slice.namespace, endpoint.nodeName, endpoint.hostname, sources.context)
        : withHostname(sources.podWorkload(pod), endpoint.hostname);
    return {
      address,
      port: target.port,
      servicePortName: port.name,
      workload,
      health: healthOf(endpoint, workload.labels),
      weight: 1,
      network: sources.context.networks.networkOf(address, workload.labels),
    };
  });
}

function withHostname(workload: Workload, hostname: string): Workload {
  return hostname === "" || hostname === workload.hostname ? workload : { ...workload, hostname };
}

function podOf(endpoint: SliceEndpoint, address: string, sources: Sources): MeshObject<PodSpec> | undefined {
  const reference = endpoint.targetRef;
  if (reference?.kind === "Pod") {
    const pod = sources.context.objects.find("Pod", reference.namespace, reference.name);
    if (pod !== undefined) return pod;
  }
  return sources.podAt(address);
}

function healthOf(endpoint: SliceEndpoint, labels: Labels): Endpoint["health"] {
  if (labels[drainingLabel] !== undefined) return "draining";
  if (endpoint.ready) return "healthy";
  return endpoint.serving && endpoint.terminating ? "draining" : "unhealthy";
}

function entryEndpoints(service: Service, port: ServicePort, sources: Sources): Endpoint[] {
  const entry = sources.context.objects.find("ServiceEntry", service.origin.namespace, service.origin.name);
  if (entry === undefined || entry.spec.resolution === EntryResolution.None) return [];
  if (entry.spec.workloadSelector !== undefined) {
    return [...selectedPods(entry, port, sources), ...selectedEntries(service, port, sources)];
  }
  const inline = inlineEndpoints(entry, port, sources.context);
  const isDns =
    entry.spec.resolution === EntryResolution.Dns || entry.spec.resolution === EntryResolution.DnsRoundRobin;
  if (inline.length > 0 || !isDns) return inline;
  const itself = {
    address: service.hostname,
    ports: {},
    labels: {},
    network: "",
    locality: "",
    weight: 0,
    serviceAccount: "",
  };
  return [addressEndpoint(itself, entry, port, sources.context)];
}

function inlineEndpoints(entry: MeshObject<ServiceEntrySpec>, port: ServicePort, context: WorkloadContext): Endpoint[] {
  return entry.spec.endpoints.filter(isReachable).map((endpoint) => addressEndpoint(endpoint, entry, port, context));
}

/** Without an address only through the gateways of its network. */
function isReachable({ address, network }: WorkloadAddress): boolean {
  return address !== "" || network !== "";
}

/** WorkloadEntries that a service selects, in its namespace. */
function selectedEntries(service: Service, port: ServicePort, sources: Sources): Endpoint[] {
  if (Object.keys(service.selector).length === 0) return [];
  return sources.context.objects
    .inNamespace("WorkloadEntry", service.namespace)
    .filter((entry) => selects(service.selector, { ...entry.metadata.labels, ...entry.spec.labels }))
    .filter((entry) => isReachable(entry.spec))
    .map((entry) => ({
      ...addressEndpoint(entry.spec, entry, port, sources.context),
      health: entry.spec.isHealthy ? "healthy" : "unhealthy",
    }));
}

function selectedPods(entry: MeshObject<ServiceEntrySpec>, port: ServicePort, sources: Sources): Endpoint[] {
  const selector = entry.spec.workloadSelector?.labels ?? {};
  if (Object.keys(selector).length === 0) return [];
  return sources.context.objects
    .inNamespace("Pod", entry.namespace)
    .filter((pod) => selects(selector, pod.metadata.labels ?? {}))
    .flatMap((pod) => {
      const [address] = pod.spec.podIPs;
      const target =
        typeof port.targetPort === "number" ? port.targetPort : namedPort(pod.spec, port.targetPort, "TCP");
      if (address === undefined || target === undefined) return [];
      const workload = sources.podWorkload(pod);
      const health = pod.spec.ready && !pod.spec.terminating ? "healthy" : "unhealthy";
      const network = sources.context.networks.networkOf(address, workload.labels);
      return { address, port: target, servicePortName: port.name, workload, health, weight: 1, network };
    });
}

function addressEndpoint(
  entry: WorkloadAddress,
  owner: MeshObject<unknown>,
  port: ServicePort,
  context: WorkloadContext,
): Endpoint {
  const fallback = typeof port.targetPort === "number" ? port.targetPort : port.number;
  const workload = workloadOfAddress(
    entry,
    { name: owner.name, namespace: owner.namespace, labels: owner.metadata.labels ?? {} },
    context,
  );
  return {
    address: entry.address,
    port: entry.address.startsWith("unix://") ? 0 : (entry.ports[port.name] ?? fallback),
    servicePortName: port.name,
    workload,
    health: "healthy",
    weight: Math.max(1, entry.weight),
    network: entry.network || context.networks.networkOf(entry.address, workload.labels),
  };
}

/** Slices of one service may name an address twice while endpoints move between them. */
function unique(endpoints: readonly Endpoint[]): Endpoint[] {
  const byAddress = new Map<string, Endpoint>();
  for (const endpoint of endpoints) {
    // Those without one are told apart by their names.
    const key = `${endpoint.address || endpoint.workload.name} ${endpoint.port} ${endpoint.network}`;
    const known = byAddress.get(key);
    if (known === undefined || (known.health !== "healthy" && endpoint.health === "healthy"))
      byAddress.set(key, endpoint);
  }
  return [...byAddress.values()];
}
