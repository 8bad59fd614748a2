// Where a request goes before any proxy has seen it: what names mean to the application, and who answers.
import type { Service } from "#mesh/snapshot/service.ts";
import type { MeshSnapshot } from "#mesh/snapshot/snapshot.ts";
import { addStep, type Trace } from "#proxy/config/trace.ts";
import type { Pod } from "../../mesh/pods.ts";
import type { ExplainRequest } from "./question.ts";
import type { Population } from "./vantage.ts";
import type { ExplainWorkload } from "./workload.ts";

/** An address and a port. */
export interface Target {
  readonly host: string;
  readonly port: number;
}

/** What DNS answers to the application: the service's address, by the search domains of the source's namespace. */
export function resolveDestination(
  { snapshot, pods }: Pick<Population, "snapshot" | "pods">,
  { host, port }: ExplainRequest,
  source: ExplainWorkload,
  trace: Trace,
): Target {
  if (/^[\d.]+$/.test(host) || host.includes(":")) return { host, port };
  const suffixes = [
    "",
    `.${source.namespace}.svc.${snapshot.domain}`,
    `.svc.${snapshot.domain}`,
    `.${snapshot.domain}`,
  ];
  const names = suffixes.map((suffix) => `${host}${suffix}`.toLowerCase());
  const service = names.flatMap((name) => snapshot.services.find((candidate) => candidate.hostname === name) ?? [])[0];
  const pod =
    service === undefined
      ? pods.find((candidate) => names.includes(podHostName(candidate, snapshot.domain)))
      : undefined;
  if (pod?.status?.podIP !== undefined) {
    const { podIP } = pod.status;
    addStep(trace, "name", `${host} is pod ${pod.metadata.name}.${pod.metadata.namespace}, ${podIP}`);
    return { host: podIP, port };
  }
  if (service === undefined) {
    addStep(trace, "name", `${host} is no service of the mesh; an address outside is assumed`);
    return { host: outsideAddress, port };
  }
  const endpoint = snapshot.endpoints(service, port)[0]?.address;
  const answered = [...service.addresses.filter(isAddress), ...allocatedFor(source, service)];
  const ip = answered[0] ?? (service.meshExternal ? undefined : endpoint) ?? outsideAddress;
  addStep(trace, "name", `${host} is ${service.hostname}, ${ip}`, [service.origin]);
  return { host: ip, port };
}

/** The name that DNS has for a pod of a headless Service: `db-0.db.shop.svc.cluster.local`. Empty: it has none. */
function podHostName({ metadata, spec }: Pod, domain: string): string {
  const { hostname, subdomain } = spec;
  if (hostname === undefined || subdomain === undefined) return "";
  return `${hostname}.${subdomain}.${metadata.namespace}.svc.${domain}`.toLowerCase();
}

/** What the sidecar answers where it answers questions to DNS itself. */
function allocatedFor({ node }: ExplainWorkload, service: Service): readonly string[] {
  return node?.dnsCapture === true && service.addresses.length === 0 ? service.autoAllocatedAddresses : [];
}

/** And no block of addresses. */
function isAddress(text: string): boolean {
  return !text.includes("/");
}

/** From the range that RFC 5737 keeps for examples. */
const outsideAddress = "198.51.100.1";

/** The port on which a gateway listens for the port of the URL, as its Service maps it. */
export function gatewayPort(snapshot: MeshSnapshot, { node }: ExplainWorkload, port: number): number {
  if (node === undefined) return port;
  const instance = snapshot.serviceInstances(node).find((candidate) => candidate.port.number === port);
  return instance?.targetPort ?? port;
}

/** Where a pod without a sidecar ends up: an endpoint of the service behind the address. */
export function directTarget(snapshot: MeshSnapshot, destination: Target): Target {
  const service = snapshot.services.find((candidate) => candidate.addresses.includes(destination.host));
  const endpoint = service === undefined ? undefined : snapshot.endpoints(service, destination.port)[0];
  return endpoint === undefined ? destination : { host: endpoint.address, port: endpoint.port };
}
