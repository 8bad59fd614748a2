// Outbound listeners of a sidecar: one per HTTP port for all services, one per address for TCP, and both in one where
// the protocol has to be found out. They bind no port: the virtual listener hands connections to them.
import { create } from "@bufbuild/protobuf";
import { TrafficDirection } from "#wire/gen/envoy/config/core/v3/base_pb.ts";
import type { FilterChain } from "#wire/gen/envoy/config/listener/v3/listener_components_pb.ts";
import { type Listener, ListenerSchema } from "#wire/gen/envoy/config/listener/v3/listener_pb.ts";
import { meshGateway } from "../../kinds/virtual-service/spec.ts";
import { parseProtocol } from "../../objects/fields/port.ts";
import type { ProxyNode } from "../../snapshot/proxy-node.ts";
import { Resolution, type Service, type ServicePort } from "../../snapshot/service.ts";
import type { EgressListener, MeshSnapshot, SidecarScope } from "../../snapshot/snapshot.ts";
import { cidrRange, endpointAddress, isUnixSocket } from "../envoy-values.ts";
import { listenerExtensions, tcpWithExtensions } from "../filters/extensions.ts";
import { listenerTelemetry } from "../filters/telemetry.ts";
import { resourceMetadata } from "../metadata.ts";
import { chainNames, httpProxyRoutes, listenerName, serviceRouteName } from "../names.ts";
import { unknownTraffic } from "../policy/unknown-traffic.ts";
import { isTls, isUdp, listenerProtocol } from "../protocol.ts";
import { addressFamily, localhost, wildcard } from "../proxy-addresses.ts";
import { clientKey } from "../routes/inputs.ts";
import { indexByHost, type VirtualService, virtualServicesFor } from "../routes/virtual-service-hosts.ts";
import { onceForAll } from "../shared-work.ts";
import { bindsToPort } from "./bind-to-port.ts";
import { type ChainMatch, clusterChain, filterChain, inspectors, listenerDefaults, plaintextHttp } from "./chain.ts";
import { httpProxyListeners, httpProxyPort } from "./http-proxy.ts";
import { outboundHttp } from "./outbound-http.ts";
import {
  type ListenerPlace,
  type OutboundListenerPlan,
  OutboundPlan,
  type PlannedTcpChain,
  partAddresses,
} from "./outbound-plan.ts";
import { type TcpRouteChoice, tcpChoices, tcpRouteFilters, tlsChoices } from "./tcp-destinations.ts";
import { virtualOutbound } from "./virtual-outbound.ts";

/** The same list for proxies of one scope that are alike in what listeners depend on. */
export function outboundListeners(snapshot: MeshSnapshot, proxy: ProxyNode): readonly Listener[] {
  const scope = snapshot.scope(proxy);
  return onceForAll([snapshot, scope], `outbound listeners ${inputsOf(snapshot, proxy, scope)}`, () => [
    ...planOutbound(snapshot, proxy, scope).map((plan) => buildListener(snapshot, proxy, scope, plan)),
    ...httpProxyListeners(snapshot, proxy),
    ...(proxy.interceptionMode === "NONE" ? [] : [virtualOutbound(snapshot, proxy)]),
  ]);
}

/** The route configurations that the listeners will ask for. */
export function outboundRouteNames(snapshot: MeshSnapshot, proxy: ProxyNode): string[] {
  const names = new Set(
    planOutbound(snapshot, proxy, snapshot.scope(proxy)).flatMap(({ http }) => http?.routeName ?? []),
  );
  if (httpProxyPort(snapshot, proxy) !== 0) names.add(httpProxyRoutes);
  return [...names].sort();
}

/** Everything of a proxy, beside its scope, that its outbound listeners depend on. */
function inputsOf(snapshot: MeshSnapshot, proxy: ProxyNode, scope: SidecarScope): string {
  const ofHeadless = onceForAll([snapshot, scope], "addresses of headless services", () =>
    headlessAddresses(snapshot, scope),
  );
  return JSON.stringify([
    addressFamily(proxy),
    proxy.interceptionMode,
    proxy.dnsCapture,
    httpProxyPort(snapshot, proxy),
    listenerTelemetry(snapshot, proxy, "sidecar-outbound").key,
    clientKey(scope, proxy),
    snapshot.extensions(proxy).map(({ resourceName }) => resourceName),
    proxy.ipAddresses.filter((address) => ofHeadless.has(address)),
  ]);
}

function headlessAddresses(snapshot: MeshSnapshot, { services }: SidecarScope): ReadonlySet<string> {
  const headless = services.filter((service) => service.headless);
  const endpoints = headless.flatMap((service) =>
    service.ports.map(({ number }) => snapshot.endpoints(service, number)),
  );
  return new Set(endpoints.flat().map(({ address }) => address));
}

function planOutbound(snapshot: MeshSnapshot, proxy: ProxyNode, scope: SidecarScope): readonly OutboundListenerPlan[] {
  return onceForAll([snapshot, scope], `outbound plan ${inputsOf(snapshot, proxy, scope)}`, () =>
    makePlan(snapshot, proxy, scope).listeners(),
  );
}

function makePlan(snapshot: MeshSnapshot, proxy: ProxyNode, scope: SidecarScope): OutboundPlan {
  const plan = new OutboundPlan();
  const explicit = scope.egressListeners.filter(({ port }) => port !== undefined);
  for (const listener of explicit) planExplicit(plan, snapshot, proxy, listener);
  const catchAll = scope.egressListeners.find(({ port }) => port === undefined);
  if (catchAll !== undefined) {
    const index = indexByHost(catchAll.virtualServices);
    for (const service of catchAll.services) {
      if (service.externalName !== "") continue;
      for (const port of service.ports) {
        planPort(plan, { snapshot, proxy, service, port, speakers: virtualServicesFor(index, service.hostname) });
      }
    }
  }
  return plan;
}

/** A listener that a Sidecar resource names: its port's protocol decides, and it can bind a real port. */
function planExplicit(plan: OutboundPlan, snapshot: MeshSnapshot, proxy: ProxyNode, listener: EgressListener): void {
  const port = listener.port;
  if (port === undefined) return;
  const bindToPort = bindsToPort(listener.captureMode, proxy);
  const bind = listener.bind || (bindToPort ? localhost(proxy) : "");
  const protocol = listenerProtocol(parseProtocol(port.protocol));
  const index = indexByHost(listener.virtualServices);
  if (isUnixSocket(bind)) {
    planSocket(plan, snapshot, proxy, listener);
    return;
  }
  const anyAddress = { bind: bind || wildcard(proxy), port: port.number, bindToPort, locked: true };
  for (const service of listener.services) {
    const ofService = service.ports.find(({ number }) => number === port.number);
    if (service.externalName !== "" || (ofService === undefined && protocol !== "http")) continue;
    if (protocol !== "tcp") {
      plan.addHttp(anyAddress, { routeName: String(port.number), grpcWeb: false }, service.origin);
    }
    if (protocol === "http" || ofService === undefined) continue;
    const speakers = virtualServicesFor(index, service.hostname);
    const asDeclared = { ...ofService, protocol: parseProtocol(port.protocol) };
    planPort(plan, { snapshot, proxy, service, port: asDeclared, speakers }, { ...anyAddress, bind });
  }
}

/** A Unix socket carries no address that could tell services apart: HTTP chooses by host, TCP is for the first port. */
function planSocket(plan: OutboundPlan, snapshot: MeshSnapshot, proxy: ProxyNode, listener: EgressListener): void {
  const { bind } = listener;
  const place = { bind, port: 0, bindToPort: true, locked: true };
  const protocol = listenerProtocol(parseProtocol(listener.port?.protocol ?? ""));
  const index = indexByHost(listener.virtualServices);
  for (const service of listener.services) {
    if (service.externalName !== "") continue;
    if (protocol !== "tcp") plan.addHttp(place, { routeName: bind, grpcWeb: false }, service.origin);
    if (protocol === "http") continue;
    const speakers = virtualServicesFor(index, service.hostname);
    for (const port of service.ports) {
      if (isUdp(port.protocol)) continue;
      plan.addTcp(place, tcpChains({ snapshot, proxy, service, port, speakers }, [], false), false);
    }
  }
}

interface PortQuestion {
  readonly snapshot: MeshSnapshot;
  readonly proxy: ProxyNode;
  readonly service: Service;
  readonly port: ServicePort;
  /** VirtualServices for the service, the one that speaks for it first. */
  readonly speakers: readonly VirtualService[];
}

function planPort(plan: OutboundPlan, question: PortQuestion, forced?: ListenerPlace): void {
  const { proxy, service, port } = question;
  if (isUdp(port.protocol)) return;
  const bindToPort = forced?.bindToPort ?? proxy.interceptionMode === "NONE";
  const place = (bind: string): ListenerPlace => ({
    bind: forced?.bind || bind,
    port: port.number,
    bindToPort,
    locked: forced !== undefined,
  });
  const protocol = listenerProtocol(port.protocol);
  const grpcWeb = port.protocol === "GRPC-Web";
  if (protocol === "http") {
    const routeName = String(port.number);
    plan.addHttp(place(wildcard(proxy)), { routeName, grpcWeb }, service.origin);
    return;
  }
  const serverFirst = port.protocol === "MySQL" || port.protocol === "Mongo";
  for (const { bind, ranges } of bindAddresses(question)) {
    const isShared = bind === wildcard(proxy);
    plan.addTcp(place(bind), tcpChains(question, ranges, isShared), serverFirst);
    if (protocol === "auto") {
      const routeName = isShared ? String(port.number) : serviceRouteName(service.hostname, port.number);
      plan.addHttp(place(bind), { routeName, grpcWeb }, service.origin);
    }
  }
}

/** Where a TCP port is listened on: its VIPs, the pods of a headless service, or any address. */
function bindAddresses({ snapshot, proxy, service, port }: PortQuestion): { bind: string; ranges: string[] }[] {
  const family = addressFamily(proxy);
  if (service.headless) {
    const pods = snapshot.endpoints(service, port.number).flatMap(({ address }) => address || []);
    const others = [...new Set(pods)].filter((address) => !proxy.ipAddresses.includes(address));
    return others.sort().map((bind) => ({ bind, ranges: [] }));
  }
  const addresses =
    service.addresses.length === 0 && proxy.dnsCapture ? service.autoAllocatedAddresses : service.addresses;
  const { vips, blocks } = partAddresses(addresses, family);
  const binds = vips.map((bind) => ({ bind, ranges: [] as string[] }));
  if (blocks.length > 0) binds.push({ bind: wildcard(proxy), ranges: blocks });
  if (binds.length === 0 && addresses.length === 0) return [{ bind: wildcard(proxy), ranges: [] }];
  // A Kubernetes Service has one address per family; a proxy uses the one of its own.
  return service.source === "kubernetes" ? binds.slice(0, 1) : binds;
}

function tcpChains(question: PortQuestion, ranges: readonly string[], isShared: boolean): PlannedTcpChain[] {
  const { proxy, service, port, speakers } = question;
  const place = { proxy, gateway: meshGateway, port: port.number };
  const tls = isTls(port.protocol);
  for (const object of speakers) {
    const choices = tls ? tlsChoices(object, place) : tcpChoices(object, place);
    if (choices.length > 0) return choices.map((choice) => planned(choice, ranges, service));
  }
  const itself: TcpRouteChoice = {
    // On an address of its own a service needs no server name; on a shared one nothing else tells it apart, and where the
    // name says where to go, only names of the service may.
    serverNames: tls && (isShared || service.resolution === Resolution.DynamicDns) ? [service.hostname] : [],
    destinationSubnets: [],
    destinations: [{ destination: { host: service.hostname, subset: "", port: { number: port.number } }, weight: 100 }],
    statPrefix: service.hostname,
    origin: service.origin,
  };
  return [planned(itself, ranges, service)];
}

function planned(choice: TcpRouteChoice, ranges: readonly string[], service: Service): PlannedTcpChain {
  return {
    serverNames: choice.serverNames,
    destinationRanges: choice.destinationSubnets.length > 0 ? choice.destinationSubnets : ranges,
    choice,
    origins: choice.origin === service.origin ? [service.origin] : [choice.origin, service.origin],
  };
}

function buildListener(
  snapshot: MeshSnapshot,
  proxy: ProxyNode,
  scope: SidecarScope,
  plan: OutboundListenerPlan,
): Listener {
  const name = listenerName(plan.bind, plan.port);
  const telemetry = listenerTelemetry(snapshot, proxy, "sidecar-outbound");
  const before = tcpWithExtensions(listenerExtensions(snapshot, proxy, "sidecar-outbound", plan.port), undefined);
  const chains: FilterChain[] = [];
  let fallback: FilterChain | undefined;
  for (const chain of plan.tcp) {
    const match = tcpMatch(chain);
    const built = filterChain({
      match,
      filters: [
        ...before,
        ...telemetry.tcpStats,
        ...tcpRouteFilters({ snapshot, proxy, scope }, chain.choice, plan.port, telemetry),
      ],
      origins: chain.origins,
    });
    if (match === undefined) fallback = built;
    else chains.push(built);
  }
  if (plan.http !== undefined) {
    const http = outboundHttp(snapshot, { listener: name, port: plan.port, ...plan.http, telemetry, proxy });
    chains.push(filterChain({ match: plaintextHttp, filters: [http] }));
  }
  // Envoy does not go back from a more specific match that failed, so what is left must be the default chain.
  const isShared = plan.bind === wildcard(proxy);
  if (fallback !== undefined && chains.length === 0) {
    chains.push(fallback);
    fallback = undefined;
  } else if (fallback === undefined && isShared) {
    fallback = clusterChain({ ...unknownTraffic(scope), name: chainNames.outboundPassthrough, before }, telemetry);
  }
  return create(ListenerSchema, {
    ...listenerDefaults(snapshot, telemetry),
    name,
    address: endpointAddress(plan.bind, plan.port),
    trafficDirection: TrafficDirection.OUTBOUND,
    bindToPort: plan.bindToPort,
    filterChains: chains,
    ...(fallback && { defaultFilterChain: fallback }),
    listenerFilters: inspectors(chains),
    metadata: resourceMetadata({ origins: [...new Set(plan.origins)] }),
  });
}

function tcpMatch(chain: PlannedTcpChain): ChainMatch | undefined {
  const prefixRanges = chain.destinationRanges.flatMap((range) => cidrRange(range) ?? []);
  const serverNames = chain.serverNames.filter((name) => name !== "*");
  if (prefixRanges.length === 0 && serverNames.length === 0) return undefined;
  return { prefixRanges, serverNames };
}
