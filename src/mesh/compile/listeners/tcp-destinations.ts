// Where outbound TCP and TLS connections go: the tcp and tls routes of VirtualServices, or the service itself.
import type { Origin } from "#base/issue.ts";
import type { Filter } from "#wire/gen/envoy/config/listener/v3/listener_components_pb.ts";
import type { RouteDestination, VirtualServiceSpec } from "../../kinds/virtual-service/spec.ts";
import { type MeshObject, originAt } from "../../objects/mesh-object.ts";
import type { ProxyNode } from "../../snapshot/proxy-node.ts";
import { Resolution } from "../../snapshot/service.ts";
import type { MeshSnapshot } from "../../snapshot/snapshot.ts";
import { milliseconds } from "../envoy-values.ts";
import type { AccessLogs } from "../filters/access-log.ts";
import { sniForwardProxy } from "../filters/forward-proxy.ts";
import { type TcpProxySettings, tcpProxy } from "../filters/network-filters.ts";
import type { ListenerTelemetry } from "../filters/telemetry.ts";
import { parseOutboundClusterName } from "../names.ts";
import { effectivePolicy } from "../policy/traffic-policy.ts";
import { type DestinationScope, resolveDestination } from "../routes/destination.ts";
import { bracketed } from "../routes/domains.ts";
import { appliesTo } from "../routes/route-match.ts";

/** One way a connection can go, and what it must look like. */
export interface TcpRouteChoice {
  readonly serverNames: readonly string[];
  readonly destinationSubnets: readonly string[];
  readonly destinations: readonly RouteDestination[];
  readonly statPrefix: string;
  readonly origin: Origin;
}

export interface TcpPlace {
  readonly proxy: ProxyNode;
  readonly gateway: string;
  readonly port: number;
}

/** The tcp routes of a VirtualService for a place, up to the first that matches every connection. */
export function tcpChoices(object: MeshObject<VirtualServiceSpec>, place: TcpPlace): TcpRouteChoice[] {
  const choices: TcpRouteChoice[] = [];
  for (const [index, { match, route }] of object.spec.tcp.entries()) {
    const choice = choiceOf(object, route, `spec.tcp[${index}]`);
    if (match.length === 0) return [...choices, choice];
    for (const item of match) {
      if (!appliesTo(item, place.proxy, place)) continue;
      choices.push({ ...choice, destinationSubnets: item.destinationSubnets });
      if (item.destinationSubnets.length === 0) return choices;
    }
  }
  return choices;
}

/** The tls routes of a VirtualService for a place: chosen by server name. */
export function tlsChoices(object: MeshObject<VirtualServiceSpec>, place: TcpPlace): TcpRouteChoice[] {
  return object.spec.tls.flatMap(({ match, route }, index) =>
    match
      .filter((item) => appliesTo(item, place.proxy, place))
      .map((item) => ({
        ...choiceOf(object, route, `spec.tls[${index}]`),
        serverNames: item.sniHosts.map((host) => host.toLowerCase()),
        destinationSubnets: item.destinationSubnets,
      })),
  );
}

export interface TcpRouteContext {
  readonly snapshot: MeshSnapshot;
  readonly proxy: ProxyNode;
  readonly scope: DestinationScope;
}

/** The filters that forward connections as a choice says, with what looks up hosts before them. */
export function tcpRouteFilters(
  { snapshot, proxy, scope }: TcpRouteContext,
  choice: Pick<TcpRouteChoice, "destinations" | "statPrefix">,
  port: number,
  { logs }: Pick<ListenerTelemetry, "logs">,
): Filter[] {
  const tcp = tcpRouteFilter(scope, choice, port, logs);
  const [first, ...others] = choice.destinations;
  // One DNS cache cannot be for several destinations.
  if (first === undefined || others.length > 0) return [tcp];
  const to = resolveDestination(scope, first.destination, port);
  if (scope.service(to.host)?.resolution !== Resolution.DynamicDns) return [tcp];
  return [sniForwardProxy(snapshot, proxy, to.host, to.port), tcp];
}

function tcpRouteFilter(
  scope: DestinationScope,
  choice: Pick<TcpRouteChoice, "destinations" | "statPrefix">,
  port: number,
  logs: AccessLogs,
): Filter {
  const weighted =
    choice.destinations.length === 1 ? choice.destinations : choice.destinations.filter(({ weight }) => weight > 0);
  const destinations = weighted.map(({ destination, weight }) => ({
    cluster: resolveDestination(scope, destination, port).cluster,
    weight: weighted.length === 1 ? 1 : weight,
  }));
  const [only] = destinations;
  return tcpProxy({
    statPrefix: destinations.length === 1 && only !== undefined ? only.cluster : choice.statPrefix,
    destinations,
    accessLogs: logs,
    ...(only !== undefined && connectionSettings(scope, only.cluster, destinations.length > 1)),
  });
}

/** What the DestinationRule of the first destination says of connections; its subset does not count among several. */
function connectionSettings(
  scope: DestinationScope,
  cluster: string,
  isWeighted: boolean,
): Pick<TcpProxySettings, "idleTimeout" | "maxDuration" | "hashesSourceIp" | "tunnel"> {
  const key = parseOutboundClusterName(cluster);
  const service = key && scope.service(key.host);
  const rule = service && scope.destinationRule(service);
  if (key === undefined || rule === undefined) return {};
  const subset = isWeighted ? undefined : rule.subsets.find(({ name }) => name === key.subset);
  const policy = effectivePolicy(rule.trafficPolicy, subset?.trafficPolicy, key.port);
  const { idleTimeout, maxConnectionDuration } = policy.connectionPool?.tcp ?? {};
  // A subset does not take over a tunnel from the rule.
  const tunnel = subset === undefined ? rule.trafficPolicy?.tunnel : subset.trafficPolicy?.tunnel;
  return {
    idleTimeout: idleTimeout === undefined ? undefined : milliseconds(idleTimeout),
    maxDuration: maxConnectionDuration === undefined ? undefined : milliseconds(maxConnectionDuration),
    hashesSourceIp: policy.loadBalancer?.consistentHash?.useSourceIp ?? false,
    tunnel: tunnel && {
      hostname: `${bracketed(tunnel.targetHost)}:${tunnel.targetPort}`,
      usePost: tunnel.protocol === "POST",
    },
  };
}

function choiceOf(
  object: MeshObject<VirtualServiceSpec>,
  destinations: readonly RouteDestination[],
  path: string,
): TcpRouteChoice {
  return {
    serverNames: [],
    destinationSubnets: [],
    destinations,
    statPrefix: `${object.name}.${object.namespace}`,
    origin: originAt(object, path),
  };
}
