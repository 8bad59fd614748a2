// What a sidecar sees: the services and VirtualServices that its Sidecar resource imports and that are exported to it.
import type { MergedDestinationRule } from "../kinds/destination-rule/resolve.ts";
import type { MeshConfig } from "../kinds/mesh-config/spec.ts";
import { type Imports, importEverything, importsOf, isImported, selectSidecar } from "../kinds/sidecar/resolve.ts";
import { CaptureMode, type EgressListenerSpec, type SidecarSpec } from "../kinds/sidecar/spec.ts";
import { isBoundToMesh, visibleVirtualServices } from "../kinds/virtual-service/resolve.ts";
import type { VirtualServiceSpec } from "../kinds/virtual-service/spec.ts";
import { hostsOverlap } from "../objects/host.ts";
import type { MeshObject } from "../objects/mesh-object.ts";
import type { DestinationRuleIndex } from "./destination-rule-index.ts";
import type { ObjectTable } from "./object-table.ts";
import type { ProxyNode } from "./proxy-node.ts";
import type { Service } from "./service.ts";
import { onePerHostname, type ServiceIndex } from "./service-index.ts";
import type { EgressListener, SidecarScope } from "./snapshot.ts";

type VirtualService = MeshObject<VirtualServiceSpec>;

export interface ScopeSources {
  readonly objects: ObjectTable;
  readonly services: ServiceIndex;
  readonly destinationRules: DestinationRuleIndex;
  /** With the routes of delegates in place. */
  readonly virtualServices: () => readonly VirtualService[];
  readonly meshConfig: MeshConfig;
}

/** Answers `scope(proxy)`; proxies with the same namespace and Sidecar share one answer. */
export function sidecarScopes(sources: ScopeSources): (proxy: ProxyNode) => SidecarScope {
  const { objects, meshConfig } = sources;
  const memo = new Map<string, SidecarScope>();
  const byProxy = new WeakMap<ProxyNode, SidecarScope>();
  return (proxy) => {
    const known = byProxy.get(proxy);
    if (known !== undefined) return known;
    const root =
      proxy.namespace === meshConfig.rootNamespace ? [] : objects.inNamespace("Sidecar", meshConfig.rootNamespace);
    const sidecar = selectSidecar(root, objects.inNamespace("Sidecar", proxy.namespace), proxy.labels);
    const key = JSON.stringify([
      proxy.namespace,
      sidecar?.namespace,
      sidecar?.name,
      sources.destinationRules.hasSelectors(proxy.namespace) ? proxy.labels : undefined,
    ]);
    let scope = memo.get(key);
    if (scope === undefined) {
      scope = buildScope(sources, proxy, sidecar);
      memo.set(key, scope);
    }
    byProxy.set(proxy, scope);
    return scope;
  };
}

function buildScope(
  sources: ScopeSources,
  proxy: ProxyNode,
  sidecar: MeshObject<SidecarSpec> | undefined,
): SidecarScope {
  const { namespace } = proxy;
  const visibleServices = sources.services.visibleFrom(namespace);
  const meshVirtualServices = visibleVirtualServices(
    sources.virtualServices(),
    namespace,
    sources.meshConfig.defaultVirtualServiceExportTo,
  ).filter(isBoundToMesh);
  const declared = sidecar?.spec.egress ?? [];
  const egressListeners =
    declared.length === 0
      ? [everything(visibleServices, meshVirtualServices)]
      : declared.map((listener) =>
          importListener(listener, importsOf(listener, namespace), visibleServices, meshVirtualServices),
        );
  const egressProxy = sidecar?.spec.outboundTrafficPolicy?.egressProxy;
  const services = withHost(egressProxy?.host, unionOf(egressListeners, namespace), visibleServices);
  const byHostname = indexOf(services);
  const rules = foundRules(sources.destinationRules, proxy);
  return {
    sidecar,
    services,
    service: (hostname) => byHostname.get(hostname),
    virtualServices: [...new Set(egressListeners.flatMap((listener) => listener.virtualServices))],
    destinationRule(service) {
      let rule = rules.get(service);
      if (rule === undefined) {
        rule = sources.destinationRules.find(proxy, service) ?? "none";
        rules.set(service, rule);
      }
      return rule === "none" ? undefined : rule;
    },
    egressListeners,
    ingress: sidecar?.spec.ingress ?? [],
    outboundTrafficPolicy: sidecar?.spec.outboundTrafficPolicy?.mode ?? sources.meshConfig.outboundTrafficPolicy.mode,
    egressProxy,
  };
}

const indexes = new WeakMap<readonly Service[], ReadonlyMap<string, Service>>();

/** Scopes of many snapshots have the same list. */
function indexOf(services: readonly Service[]): ReadonlyMap<string, Service> {
  let index = indexes.get(services);
  if (index === undefined) {
    index = new Map(services.map((service) => [service.hostname, service]));
    indexes.set(services, index);
  }
  return index;
}

type FoundRules = WeakMap<Service, MergedDestinationRule | "none">;
const foundByIndex = new WeakMap<DestinationRuleIndex, Map<string, FoundRules>>();

/** What was found for a client before, also in earlier snapshots: rules change seldom. */
function foundRules(index: DestinationRuleIndex, { namespace, labels }: ProxyNode): FoundRules {
  const key = JSON.stringify([namespace, index.hasSelectors(namespace) && labels]);
  const byClient = foundByIndex.get(index) ?? new Map<string, FoundRules>();
  const found: FoundRules = byClient.get(key) ?? new WeakMap();
  foundByIndex.set(index, byClient.set(key, found));
  return found;
}

/** An egress proxy can be reached whether a listener imports it or not. */
function withHost(
  host: string | undefined,
  imported: readonly Service[],
  visible: readonly Service[],
): readonly Service[] {
  const hostname = host?.toLowerCase();
  if (hostname === undefined || imported.some((service) => service.hostname === hostname)) return imported;
  return [...imported, ...visible.filter((service) => service.hostname === hostname)];
}

function everything(services: readonly Service[], virtualServices: readonly VirtualService[]): EgressListener {
  return { port: undefined, bind: "", captureMode: CaptureMode.Default, services, virtualServices };
}

function importListener(
  listener: EgressListenerSpec,
  imports: Imports,
  visibleServices: readonly Service[],
  visible: readonly VirtualService[],
): EgressListener {
  const virtualServices =
    imports === importEverything
      ? visible
      : visible.filter((virtualService) =>
          virtualService.spec.hosts.some((host) => isImported(imports, virtualService.namespace, host, hostsOverlap)),
        );
  const imported = visibleServices.filter((service) => isImported(imports, service.namespace, service.hostname));
  const wanted = new Set(virtualServices.flatMap(destinationHosts));
  const known = new Set(imported.map((service) => service.hostname));
  const implied = visibleServices.filter((service) => wanted.has(service.hostname) && !known.has(service.hostname));
  const services = [...imported, ...implied];
  const number = listener.port?.number ?? 0;
  return {
    port: listener.port,
    bind: listener.bind,
    captureMode: listener.captureMode,
    services: number === 0 ? services : services.flatMap((service) => onlyPort(service, number)),
    virtualServices,
  };
}

/** A listener for one port serves that port of each service. */
function onlyPort(service: Service, number: number): Service[] {
  const ports = service.ports.filter((port) => port.number === number);
  if (ports.length === 0) return [];
  return [ports.length === service.ports.length ? service : { ...service, ports }];
}

/** Services that an imported VirtualService sends traffic to come along, or its routes would lead nowhere. */
function destinationHosts({ spec }: VirtualService): string[] {
  return [
    ...spec.http.flatMap((route) => [
      ...route.route.map((item) => item.destination.host),
      ...route.mirrors.map((item) => item.destination.host),
      ...(route.mirror === undefined ? [] : [route.mirror.host]),
    ]),
    ...spec.tls.flatMap((route) => route.route.map((item) => item.destination.host)),
    ...spec.tcp.flatMap((route) => route.route.map((item) => item.destination.host)),
  ];
}

/** One service per hostname; ports that several listeners serve come together. */
function unionOf(listeners: readonly EgressListener[], namespace: string): readonly Service[] {
  const [only, ...others] = listeners;
  if (only !== undefined && others.length === 0) return only.services;
  const merged = new Map<string, Service>();
  for (const service of listeners.flatMap((listener) => listener.services)) {
    const key = `${service.namespace}/${service.hostname}`;
    const known = merged.get(key);
    if (known === undefined) merged.set(key, service);
    else if (known !== service) {
      const missing = service.ports.filter((port) => !known.ports.some((other) => other.number === port.number));
      if (missing.length > 0) merged.set(key, { ...known, ports: [...known.ports, ...missing] });
    }
  }
  return onePerHostname([...merged.values()], namespace);
}
