// One model for Kubernetes Services and for the hosts of ServiceEntries.
import type { Origin } from "#base/issue.ts";
import type { TrafficDistribution } from "../kinds/service/spec.ts";
import type { Protocol } from "../objects/fields/port.ts";
import type { Labels } from "../objects/fields/selector.ts";

export const Resolution = {
  /** Endpoints are known and sent to the proxy (EDS). */
  ClientSideLb: "client-side-lb",
  /** The proxy resolves names and uses every address (STRICT_DNS). */
  DnsLb: "dns-lb",
  /** The proxy resolves one name and uses one address at a time (LOGICAL_DNS). */
  DnsRoundRobinLb: "dns-round-robin-lb",
  /** The proxy resolves the host that each request or hello names (a dynamic forward proxy). */
  DynamicDns: "dynamic-dns",
  /** The proxy connects to the address the application dialled (ORIGINAL_DST). */
  Passthrough: "passthrough",
} as const;
export type Resolution = (typeof Resolution)[keyof typeof Resolution];

export interface Service {
  /** Lower case: `reviews.default.svc.cluster.local`, `api.example.com`, `*.example.com`. */
  readonly hostname: string;
  readonly name: string;
  readonly namespace: string;
  readonly source: "kubernetes" | "service-entry";
  /** VIPs, and for a ServiceEntry CIDR blocks; empty for headless services and entries without addresses. */
  readonly addresses: readonly string[];
  /** VIPs that were allocated to a ServiceEntry without addresses; for proxies that capture DNS. */
  readonly autoAllocatedAddresses: readonly string[];
  readonly ports: readonly ServicePort[];
  readonly resolution: Resolution;
  /** No mutual TLS by default, and metrics say external. */
  readonly meshExternal: boolean;
  /** A Kubernetes Service without a cluster IP. */
  readonly headless: boolean;
  /** Namespaces, `*`, `.` or `~`; never empty (defaults applied). */
  readonly exportTo: readonly string[];
  /** Of ServiceEntries: extra names that the server's certificate may carry. */
  readonly subjectAltNames: readonly string[];
  /** Target of a Kubernetes Service of type ExternalName; empty otherwise. */
  readonly externalName: string;
  /** Which endpoints clients prefer where no DestinationRule says it. */
  readonly trafficDistribution: TrafficDistribution;
  /** Clients use endpoints of their own node only. */
  readonly nodeLocal: boolean;
  readonly labels: Labels;
  /** Pod or workload selector; empty when the service has none. */
  readonly selector: Labels;
  readonly createdAt: number;
  readonly origin: Origin;
}

export interface ServicePort {
  readonly name: string;
  readonly number: number;
  readonly protocol: Protocol;
  /** Number, or name of a container port; the port's own number when nothing was said. */
  readonly targetPort: number | string;
}

/** Finds the port of a service by number. */
export function servicePort(service: Service, number: number): ServicePort | undefined {
  return service.ports.find((port) => port.number === number);
}
