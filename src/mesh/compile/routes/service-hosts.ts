// The virtual hosts of services on a port, before it is known which routes they have: names and domains. VirtualServices
// have no say in them, so that they are worked out once for a set of services and a kind of client.
import type { Route, VirtualHost } from "#wire/gen/envoy/config/route/v3/route_components_pb.ts";
import type { ProxyNode } from "../../snapshot/proxy-node.ts";
import { type Service, servicePort } from "../../snapshot/service.ts";
import { listenerProtocol } from "../protocol.ts";
import { onceForAll } from "../shared-work.ts";
import { bracketed, serviceDomains } from "./domains.ts";

export interface ServiceHost {
  readonly service: Service;
  readonly name: string;
  readonly domains: string[];
  /** The service's own routes, as they were made last, for a rule and retries. */
  plain: { readonly rule: object; readonly retries: object; readonly routes: Route[] } | undefined;
  /** As it was made last. */
  made: { readonly routes: Route[]; readonly host: VirtualHost } | undefined;
}

export interface ServiceHosts {
  /** Each name once, in their order. */
  readonly hosts: readonly ServiceHost[];
  /** In lower case. */
  readonly domains: Pick<ReadonlySet<string>, "has">;
  /** Hostnames of all services, of every port and protocol; other names for one (`externalName`) are none. */
  readonly known: ReadonlySet<string>;
  /** Hostnames of the services that have HTTP on the port. */
  readonly served: ReadonlySet<string>;
}

export function serviceHosts(services: readonly Service[], port: number, proxy: ProxyNode): ServiceHosts {
  const client = `hosts ${port} ${proxy.clusterDomain} ${proxy.dnsCapture}`;
  return onceForAll([services], `${client} of ${proxy.namespace}`, () => {
    // As seen from no namespace.
    const foreign = onceForAll([services], client, () => planHosts(services, port, { ...proxy, namespace: "" }));
    return withOwnNames(foreign, proxy) ?? planHosts(services, port, proxy);
  });
}

export function hostName(host: string, port: number): string {
  return `${bracketed(host)}:${port}`;
}

interface HostPlan extends ServiceHosts {
  readonly aliases: ReadonlyMap<string, readonly Service[]>;
  /** Every service has all of its domains. */
  readonly isWhole: boolean;
}

/** The plan for one namespace, worked out by itself. */
export function planHosts(services: readonly Service[], port: number, proxy: ProxyNode): HostPlan {
  const serving = services.filter((service) => hasHttp(service, port));
  const aliases = Map.groupBy(services, ({ externalName }) => externalName.toLowerCase());
  const served = new Set(serving.map(({ hostname }) => hostname));
  // Full names are taken first, so that nobody's short name can shadow them.
  const taken = new Set(served);
  const hosts = new Map<string, ServiceHost>();
  let isWhole = true;
  for (const service of serving) {
    taken.delete(service.hostname);
    const name = hostName(service.hostname, port);
    const domains = serviceDomains(service, proxy, aliases.get(service.hostname));
    const free = domains.filter((domain) => !taken.has(domain.toLowerCase()));
    isWhole &&= free.length === domains.length && !hosts.has(name);
    if (hosts.has(name) || free.length === 0) continue;
    for (const domain of free) taken.add(domain.toLowerCase());
    const named = free.length === domains.length ? domains : free;
    hosts.set(name, { service, name, domains: named, plain: undefined, made: undefined });
  }
  return {
    hosts: [...hosts.values()].sort(byName),
    domains: taken,
    known: new Set(services.filter(({ externalName }) => externalName === "").map(({ hostname }) => hostname)),
    served,
    aliases,
    isWhole,
  };
}

/**
 * The plan for a namespace by the one for none: only its own services have more names there. Undefined where these might
 * be somebody else's names, so that it matters who comes first.
 */
function withOwnNames(foreign: HostPlan, proxy: ProxyNode): ServiceHosts | undefined {
  if (!foreign.isWhole) return undefined;
  const own = `.${proxy.namespace}.svc.${proxy.clusterDomain}`;
  const isOwn = ({ hostname }: Service): boolean => hostname.endsWith(own);
  const names = new Set<string>();
  const hosts: ServiceHost[] = [];
  for (const planned of foreign.hosts) {
    const { service } = planned;
    const aliases = foreign.aliases.get(service.hostname);
    if (!isOwn(service) && aliases?.some(isOwn) !== true) {
      hosts.push(planned);
      continue;
    }
    const domains = serviceDomains(service, proxy, aliases);
    const known = new Set(planned.domains);
    for (const domain of domains) {
      if (known.has(domain)) continue;
      const name = domain.toLowerCase();
      if (foreign.domains.has(name) || names.has(name)) return undefined;
      names.add(name);
    }
    hosts.push({ ...planned, domains, plain: undefined, made: undefined });
  }
  const domains = { has: (name: string) => foreign.domains.has(name) || names.has(name) };
  return { hosts, domains, known: foreign.known, served: foreign.served };
}

/** By UTF-16 code units. */
export function byName(a: { readonly name: string }, b: { readonly name: string }): number {
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}

function hasHttp(service: Service, portNumber: number): boolean {
  const port = servicePort(service, portNumber);
  return (
    port !== undefined &&
    port.protocol !== "UDP" &&
    service.externalName === "" &&
    listenerProtocol(port.protocol) !== "tcp"
  );
}
