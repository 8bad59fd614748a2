// What the step from one snapshot to the next can reach: the proxies that have to be compiled anew, and beside them only
// endpoints of some hosts. Says "everything" wherever it is not certain: compiling more than necessary costs time, less
// would leave a proxy wrong.
//
//   VirtualService                         proxies that see it, before or after: their listeners and routes
//   DestinationRule                        proxies that see a service for its host
//   Service, ServiceEntry                  proxies of the namespace of a service that differs; clusters of those that see it
//   EndpointSlice, Pod, WorkloadEntry      endpoints of the services; proxies at the addresses that came or went
//   Sidecar, Telemetry, policies           proxies of the namespace; all of them for the root namespace
//   PeerAuthentication                     these, and proxies that see a service of the namespace
//   Gateway                                gateways
//   kinds of the Gateway API, Ingresses    as the Gateways, VirtualServices and DestinationRules that are made of them
//   Namespace                              nobody, unless its labels decide what the mesh reads or shows
//   Node                                   what runs there: endpoints of its services, its proxies
//   WorkloadGroup                          nobody; WorkloadEntries are made of it
//   ProxyConfig                            nobody: pods get it when they are made
//   Secret                                 nobody; who asked for it by name is told apart from this
//   settings, the gateways of networks,
//   and a kind without a rule              everything

import type { DestinationRuleSpec } from "../kinds/destination-rule/spec.ts";
import type { EndpointSliceSpec } from "../kinds/endpoint-slice/spec.ts";
import type { PodSpec } from "../kinds/pod/spec.ts";
import type { ServiceEntrySpec } from "../kinds/service-entry/spec.ts";
import type { VirtualServiceSpec } from "../kinds/virtual-service/spec.ts";
import type { WorkloadEntrySpec } from "../kinds/workload-entry/spec.ts";
import { type Labels, selects } from "../objects/fields/selector.ts";
import { isSubsetOf } from "../objects/host.ts";
import type { MeshObject } from "../objects/mesh-object.ts";
import type { ProxyNode } from "./proxy-node.ts";
import { Resolution, type Service } from "./service.ts";
import type { GatewayScope, MeshSnapshot, ObjectChange, SidecarScope } from "./snapshot.ts";

export interface Reach {
  /** Hosts whose endpoints differ, for everybody who sees them. */
  readonly hostnames: ReadonlySet<string>;
  /** Whether the proxy has to be compiled as a whole. */
  concerns(proxy: ProxyNode): boolean;
  /** Whether its listeners and routes differ, and nothing else of it. */
  reroutes(proxy: ProxyNode): boolean;
  /** Hosts whose services differ. */
  readonly services: ReadonlySet<string>;
  /** Whether the clusters and endpoints of these hosts differ, and listeners and routes, and nothing else of it. */
  reclusters(proxy: ProxyNode): boolean;
}

type Concern = (proxy: ProxyNode) => boolean;

interface Step {
  readonly previous: MeshSnapshot;
  readonly next: MeshSnapshot;
}

/** What one object change adds; "everything" when that is not known. */
interface Found {
  readonly concerns: Concern[];
  readonly reroutes: Concern[];
  readonly reclusters: Concern[];
  readonly hostnames: Set<string>;
  readonly services: Set<string>;
}

/** Kinds that say where networks are. */
const networkKinds = ["Service", "Namespace", "Node"];

export function reachOf(previous: MeshSnapshot, next: MeshSnapshot): Reach | "everything" {
  if (next.changedFrom !== previous.version || previous.settings !== next.settings) return "everything";
  const step: Step = { previous, next };
  const found: Found = { concerns: [], reroutes: [], reclusters: [], hostnames: new Set(), services: new Set() };
  const byKind = Map.groupBy(next.changes, ({ kind }) => kind);
  const canMoveNetworks = networkKinds.some((kind) => byKind.has(kind));
  if (canMoveNetworks && previous.networks.key !== next.networks.key) return "everything";
  for (const [kind, changes] of byKind) {
    const rule = Object.hasOwn(rules, kind) ? rules[kind] : undefined;
    if (rule === undefined || !rule(step, changes, found)) return "everything";
  }
  addEndpoints(step, found);
  const { concerns, reroutes, reclusters, hostnames, services } = found;
  return {
    hostnames,
    services,
    concerns: (proxy) => concerns.some((concern) => concern(proxy)),
    reroutes: (proxy) => reroutes.some((concern) => concern(proxy)),
    reclusters: (proxy) => reclusters.some((concern) => concern(proxy)),
  };
}

/** False when the reach cannot be told. */
type Rule = (step: Step, changes: readonly ObjectChange[], found: Found) => boolean;

const ofNamespace: Rule = ({ next }, changes, { concerns }) => {
  const namespaces = new Set(changes.map(({ namespace }) => namespace));
  const isForAll = namespaces.has(next.meshConfig.rootNamespace);
  concerns.push((proxy) => isForAll || namespaces.has(proxy.namespace));
  return true;
};

const rules: Readonly<Record<string, Rule>> = {
  VirtualService: (step, changes, { concerns, reroutes }) => {
    // Fragments are joined into other VirtualServices.
    const versions = changes.flatMap((change) => versionsOf<VirtualServiceSpec>(step, change));
    if (versions.some(({ spec }) => spec.hosts.length === 0)) return false;
    const wanted = new Set(changes.map(nameOf));
    const sees = inScopes(step, (scope) => virtualServicesIn(scope).some((object) => wanted.has(nameOf(object))));
    reroutes.push(sees);
    // A Sidecar imports the services that a VirtualService leads to.
    const seesOthers = otherServices(step);
    concerns.push((proxy) => sees(proxy) && seesOthers(proxy));
    return true;
  },
  DestinationRule: (step, changes, { concerns }) => {
    const hosts = changes.flatMap((change) =>
      versionsOf<DestinationRuleSpec>(step, change).map(({ spec }) => spec.host),
    );
    concerns.push(
      inScopes(step, ({ services }) =>
        services.some(({ hostname }) => hosts.some((host) => isSubsetOf(hostname, host))),
      ),
    );
    return true;
  },
  Service: servicesDiffer,
  ServiceEntry: (step, changes, found) => {
    // Endpoints that stand in an entry are no part of its services.
    for (const { spec } of changes.flatMap((change) => versionsOf<ServiceEntrySpec>(step, change))) {
      for (const host of spec.hosts) found.hostnames.add(host.toLowerCase());
    }
    const namespaces = new Set(changes.map(({ namespace }) => namespace));
    found.concerns.push((proxy) => namespaces.has(proxy.namespace));
    return servicesDiffer(step, changes, found);
  },
  WorkloadEntry: (step, changes, found) => {
    const addresses = new Set<string>();
    for (const { namespace, metadata, spec } of changes.flatMap((change) =>
      versionsOf<WorkloadEntrySpec>(step, change),
    )) {
      addresses.add(spec.address);
      addSelecting(step, namespace, { ...metadata.labels, ...spec.labels }, found);
    }
    found.concerns.push((proxy) => proxy.ipAddresses.some((address) => addresses.has(address)));
    return true;
  },
  EndpointSlice: (step, changes, found) => {
    const addresses = new Set<string>();
    for (const change of changes) {
      const [before, after] = bothOf<EndpointSliceSpec>(step, change);
      for (const version of [before, after]) {
        const name = version?.spec.serviceName ?? "";
        if (version !== undefined && name === "") return false;
        if (version !== undefined) found.hostnames.add(hostOf(step, version));
      }
      for (const address of addressesThatDiffer(before?.spec, after?.spec)) addresses.add(address);
    }
    found.concerns.push((proxy) => proxy.ipAddresses.some((address) => addresses.has(address)));
    return true;
  },
  Pod: (step, changes, found) => {
    const names = new Set(changes.map(nameOf));
    const addresses = new Set<string>();
    for (const change of changes) {
      for (const pod of versionsOf<PodSpec>(step, change)) {
        for (const address of pod.spec.podIPs) addresses.add(address);
        addSelecting(step, pod.namespace, pod.metadata.labels ?? {}, found);
      }
    }
    found.concerns.push(
      (proxy) => names.has(nameOf(proxy)) || proxy.ipAddresses.some((address) => addresses.has(address)),
    );
    return true;
  },
  Sidecar: ofNamespace,
  AuthorizationPolicy: ofNamespace,
  RequestAuthentication: ofNamespace,
  Telemetry: ofNamespace,
  EnvoyFilter: ofNamespace,
  WasmPlugin: ofNamespace,
  TrafficExtension: ofNamespace,
  // Pods get it when they are made.
  ProxyConfig: () => true,
  PeerAuthentication: (step, changes, found) => {
    ofNamespace(step, changes, found);
    const namespaces = new Set(changes.map(({ namespace }) => namespace));
    found.concerns.push(inScopes(step, ({ services }) => services.some(({ namespace }) => namespaces.has(namespace))));
    return true;
  },
  // Proxies ask for them by name, and are compiled without.
  Secret: () => true,
  ConfigMap: () => true,
  // Their effect is in the objects that are made of them, which are among the changes too.
  HTTPRoute: () => true,
  GRPCRoute: () => true,
  TCPRoute: () => true,
  TLSRoute: () => true,
  ReferenceGrant: () => true,
  BackendTLSPolicy: () => true,
  XBackendTrafficPolicy: () => true,
  GatewayClass: () => true,
  "Gateway.gateway.networking.k8s.io": () => true,
  ListenerSet: () => true,
  Ingress: () => true,
  IngressClass: () => true,
  // Objects of a namespace that the mesh begins or stops to read are not among the changes.
  Namespace: ({ previous, next }) =>
    [previous, next].every(
      ({ meshConfig }) => meshConfig.discoverySelectors.length === 0 && meshConfig.serviceEntryVisibility === undefined,
    ),
  // WorkloadEntries are made of it, when machines come.
  WorkloadGroup: () => true,
  Node: (step, changes, found) => {
    const names = new Set(changes.map(({ name }) => name));
    const addresses = new Set<string>();
    for (const snapshot of [step.previous, step.next]) {
      for (const { namespace, metadata, spec } of snapshot.objects("Pod") as readonly MeshObject<PodSpec>[]) {
        if (!names.has(spec.nodeName)) continue;
        for (const address of spec.podIPs) addresses.add(address);
        addSelecting(step, namespace, metadata.labels ?? {}, found);
      }
      for (const slice of snapshot.objects("EndpointSlice") as readonly MeshObject<EndpointSliceSpec>[]) {
        if (slice.spec.endpoints.some(({ nodeName }) => names.has(nodeName))) found.hostnames.add(hostOf(step, slice));
      }
    }
    found.concerns.push(
      (proxy) => names.has(proxy.nodeName) || proxy.ipAddresses.some((address) => addresses.has(address)),
    );
    return true;
  },
  Gateway: (_step, _changes, { concerns }) => {
    concerns.push((proxy) => proxy.type === "router");
    return true;
  },
};

/** Whether the reach of a change of this kind can be told at all. */
export function hasReach(kind: string): boolean {
  return rules[kind] !== undefined;
}

function servicesDiffer(step: Step, _changes: readonly ObjectChange[], found: Found): boolean {
  const { previous, next } = step;
  if (previous.services === next.services) return true;
  const same = new Set<Service>(previous.services).intersection(new Set(next.services));
  const [before, after] = [previous, next].map(({ services }) =>
    contentByService(services.filter((service) => !same.has(service))),
  ) as [Map<string, string>, Map<string, string>];
  const changed = new Set(
    [...before, ...after].filter(([key]) => before.get(key) !== after.get(key)).map(([key]) => key),
  );
  const namespaces = new Set([...changed].map((key) => key.slice(0, key.indexOf("/"))));
  found.concerns.push((proxy) => namespaces.has(proxy.namespace));
  const hostnames = [...changed].map((key) => key.slice(key.indexOf("/") + 1));
  addServices(step, hostnames, (service) => changed.has(serviceKey(service)), found);
  return true;
}

/** For everybody who sees such a service. */
function addServices(
  step: Step,
  hostnames: readonly string[],
  differs: (service: Service) => boolean,
  { concerns, reclusters, services }: Found,
): void {
  const answers = new Map<readonly Service[], boolean>();
  const sees = inScopes(step, (scope) => {
    const answer = answers.get(scope.services) ?? scope.services.some(differs);
    answers.set(scope.services, answer);
    return answer;
  });
  // What proxies do for their own workloads may send to a service that mesh configuration names.
  const settings = JSON.stringify(step.next.meshConfig).toLowerCase();
  if (hostnames.some((hostname) => settings.includes(hostname))) {
    concerns.push(sees);
    return;
  }
  for (const hostname of hostnames) services.add(hostname);
  reclusters.push(sees);
}

function contentByService(services: readonly Service[]): Map<string, string> {
  const contents = new Map<string, string>();
  for (const service of services) {
    const key = serviceKey(service);
    contents.set(key, (contents.get(key) ?? "") + JSON.stringify(service));
  }
  return contents;
}

function serviceKey({ namespace, hostname }: Service): string {
  return `${namespace}/${hostname}`;
}

/** Clusters carry the identities of a service and whether it takes mutual TLS; both follow from its endpoints. */
function addEndpoints(step: Step, found: Found): void {
  const whole = new Set<string>();
  for (const hostname of found.hostnames) if (!differsInEndpointsOnly(step, hostname)) whole.add(hostname);
  if (whole.size > 0) addServices(step, [...whole], ({ hostname }) => whole.has(hostname), found);
}

function differsInEndpointsOnly({ previous, next }: Step, hostname: string): boolean {
  const [before, after] = [previous, next].map(({ services }) =>
    services.filter((service) => service.hostname === hostname),
  ) as [Service[], Service[]];
  if (before.length !== after.length) return false;
  return after.every((service, index) => {
    const earlier = before[index];
    if (earlier === undefined || earlier.namespace !== service.namespace) return false;
    // Elsewhere clusters and listeners name the endpoints.
    if (service.resolution !== Resolution.ClientSideLb || earlier.resolution !== service.resolution) return false;
    if (previous.serviceAccountsOf(earlier).join() !== next.serviceAccountsOf(service).join()) return false;
    // Whether endpoints are load-balanced here, named in the cluster, or all without TLS.
    return service.ports.every(
      ({ number }) =>
        previous.serviceMtlsMode(earlier, number) === next.serviceMtlsMode(service, number) &&
        tlsModes(previous, earlier, number) === tlsModes(next, service, number),
    );
  });
}

function tlsModes(snapshot: MeshSnapshot, service: Service, port: number): string {
  return [...new Set(snapshot.endpoints(service, port).map(({ workload }) => workload.tlsMode))].sort().join();
}

/** The services that a workload is behind, before or after. */
function addSelecting({ previous, next }: Step, namespace: string, labels: Labels, { hostnames }: Found): void {
  for (const snapshot of [previous, next]) {
    for (const { selector, hostname } of snapshot.servicesIn(namespace)) {
      if (Object.keys(selector).length > 0 && selects(selector, labels)) hostnames.add(hostname);
    }
  }
}

/** All addresses when ports differ. */
function addressesThatDiffer(before: EndpointSliceSpec | undefined, after: EndpointSliceSpec | undefined): string[] {
  const [old, now] = [before, after].map(
    (spec) => new Set(spec?.endpoints.flatMap(({ addresses }) => addresses) ?? []),
  ) as [Set<string>, Set<string>];
  if (JSON.stringify(before?.ports) !== JSON.stringify(after?.ports)) return [...old, ...now];
  return [...old.symmetricDifference(now)];
}

/** Asks each scope once, before and after. */
function inScopes({ previous, next }: Step, test: (scope: SidecarScope | GatewayScope) => boolean): Concern {
  const answers = new Map<object, boolean>();
  const ask = (scope: SidecarScope | GatewayScope): boolean => {
    let answer = answers.get(scope);
    if (answer === undefined) {
      answer = test(scope);
      answers.set(scope, answer);
    }
    return answer;
  };
  return (proxy) => [previous, next].some((snapshot) => ask(scopeOf(snapshot, proxy)));
}

/** Whether the proxy sees other services after the step than before. */
function otherServices({ previous, next }: Step): Concern {
  const answers = new Map<readonly Service[], boolean>();
  return (proxy) => {
    const [before, after] = [scopeOf(previous, proxy).services, scopeOf(next, proxy).services];
    if (before === after) return false;
    let answer = answers.get(after);
    if (answer === undefined) {
      answer = before.length !== after.length || before.some((service, index) => service !== after[index]);
      answers.set(after, answer);
    }
    return answer;
  };
}

function scopeOf(snapshot: MeshSnapshot, proxy: ProxyNode): SidecarScope | GatewayScope {
  return proxy.type === "router" ? snapshot.gateways(proxy) : snapshot.scope(proxy);
}

function virtualServicesIn(scope: SidecarScope | GatewayScope): { namespace: string; name: string }[] {
  if ("virtualServices" in scope) return [...scope.virtualServices];
  return scope.listeners.flatMap(({ servers }) =>
    servers.flatMap((server) => server.virtualServices.map(({ virtualService }) => virtualService)),
  );
}

/** The hostname of the Service that a slice belongs to. */
function hostOf({ next }: Step, { namespace, spec }: MeshObject<EndpointSliceSpec>): string {
  return `${spec.serviceName}.${namespace}.svc.${next.domain}`.toLowerCase();
}

function versionsOf<Spec>(step: Step, change: ObjectChange): MeshObject<Spec>[] {
  return bothOf<Spec>(step, change).filter((version) => version !== undefined);
}

function bothOf<Spec>(
  { previous, next }: Step,
  { kind, namespace, name }: ObjectChange,
): [MeshObject<Spec> | undefined, MeshObject<Spec> | undefined] {
  const find = (snapshot: MeshSnapshot) => snapshot.object(kind, namespace, name) as MeshObject<Spec> | undefined;
  return [find(previous), find(next)];
}

function nameOf({ namespace, name }: { readonly namespace: string; readonly name: string }): string {
  return `${namespace}/${name}`;
}
