// What a gateway pod serves: the servers of all Gateways that select it, merged by port, with the VirtualServices that
// are bound to each. Servers that cannot be merged are left out; `gatewayConflicts` says why.

import { gatewayServiceAnnotation } from "../gateway-api/names.ts";
import {
  isHttpServer,
  isHttpsServerWithTermination,
  isTlsServer,
  type ServerHost,
  selectsWorkload,
  serverHosts,
} from "../kinds/gateway/resolve.ts";
import type { GatewaySpec, Server } from "../kinds/gateway/spec.ts";
import type { MeshConfig } from "../kinds/mesh-config/spec.ts";
import { hostsOnServer, isBoundTo, visibleVirtualServices } from "../kinds/virtual-service/resolve.ts";
import { parseProtocol } from "../objects/fields/port.ts";
import type { MeshObject } from "../objects/mesh-object.ts";
import { gatewayHttpRouteName, gatewayHttpsRouteName } from "../route-names.ts";
import type { DestinationRuleIndex } from "./destination-rule-index.ts";
import type { ObjectTable } from "./object-table.ts";
import type { ProxyNode } from "./proxy-node.ts";
import type { ServiceIndex } from "./service-index.ts";
import type { BoundVirtualService, GatewayListener, GatewayScope, GatewayServer, ServiceInstance } from "./snapshot.ts";

export interface GatewaySources {
  readonly objects: ObjectTable;
  readonly services: ServiceIndex;
  readonly destinationRules: DestinationRuleIndex;
  /** With the routes of delegates in place. */
  readonly virtualServices: () => readonly BoundVirtualService["virtualService"][];
  readonly meshConfig: MeshConfig;
  readonly instances: (proxy: ProxyNode) => readonly ServiceInstance[];
  readonly scopesGateways: boolean;
}

export function gatewayScope(proxy: ProxyNode, sources: GatewaySources): GatewayScope {
  const services = sources.services.visibleFrom(proxy.namespace);
  const byHostname = new Map(services.map((service) => [service.hostname, service]));
  const instances = sources.instances(proxy);
  const hosts = new Set(instances.map(({ service }) => service.hostname));
  const gateways = sources.objects.all("Gateway").filter((gateway) => {
    const services = gateway.metadata.annotations?.[gatewayServiceAnnotation];
    if (services === undefined) return selectsWorkload(gateway, proxy, sources.scopesGateways);
    return services.split(",").some((hostname) => hosts.has(hostname));
  });
  const targetPorts = targetPortsOf(instances);
  const { listeners } = mergeServers(gateways, targetPorts);
  const virtualServices = visibleVirtualServices(
    sources.virtualServices(),
    proxy.namespace,
    sources.meshConfig.defaultVirtualServiceExportTo,
  );
  return {
    backendCertificate: gateways.find(({ spec }) => spec.backendCertificate !== undefined)?.spec.backendCertificate,
    services,
    service: (hostname) => byHostname.get(hostname),
    destinationRule: (service) => sources.destinationRules.find(proxy, service),
    listeners: listeners.map((listener) => ({
      ...listener,
      servers: listener.servers.map((server) => ({ ...server, virtualServices: bind(server, virtualServices) })),
    })),
  };
}

type Gateway = MeshObject<GatewaySpec>;

export interface ServerConflict {
  readonly gateway: Gateway;
  readonly index: number;
  readonly reason: string;
  readonly winner: Gateway;
}

/** Merges servers by (bind, port), in the order of the Gateways. */
export function mergeServers(
  gateways: readonly Gateway[],
  targetPorts: ReadonlyMap<number, readonly number[]>,
): { listeners: GatewayListener[]; conflicts: ServerConflict[] } {
  const byPort = new Map<
    string,
    { port: number; bind: string; family: GatewayListener["family"]; servers: GatewayServer[] }
  >();
  const conflicts: ServerConflict[] = [];
  for (const gateway of gateways) {
    for (const [index, server] of gateway.spec.servers.entries()) {
      const family = familyOf(server);
      for (const port of targetPorts.get(server.port.number) ?? [server.port.number]) {
        const key = `${server.bind} ${port}`;
        const made = gatewayServer(gateway, server, index, port);
        const listener = byPort.get(key);
        if (listener === undefined) {
          byPort.set(key, { port, bind: server.bind, family, servers: [made] });
          continue;
        }
        const conflict = conflictWith(listener.servers, listener.family, made, family);
        if (conflict === undefined) listener.servers.push(made);
        else conflicts.push({ gateway, index, ...conflict });
      }
    }
  }
  const listeners = [...byPort.values()].sort((a, b) => a.port - b.port || (a.bind < b.bind ? -1 : 1));
  return { listeners, conflicts };
}

function conflictWith(
  present: readonly GatewayServer[],
  family: GatewayListener["family"],
  added: GatewayServer,
  addedFamily: GatewayListener["family"],
): { reason: string; winner: Gateway } | undefined {
  const [first] = present;
  if (first === undefined) return undefined;
  const port = added.server.port.number;
  if (family !== addedFamily) {
    return {
      reason: `port ${port} already serves ${family}, and this server is ${addedFamily}`,
      winner: first.gateway,
    };
  }
  if (family === "tcp") return { reason: `port ${port} already has a TCP server`, winner: first.gateway };
  if (family === "http") return undefined;
  if (added.routeName !== "") {
    const same = present.find((server) => server.routeName === added.routeName);
    if (same !== undefined) {
      return {
        reason: `another HTTPS server on port ${port} has the port name "${added.server.port.name}"`,
        winner: same.gateway,
      };
    }
  }
  for (const host of added.hosts) {
    const same = present.find((server) => server.hosts.includes(host));
    if (same !== undefined)
      return { reason: `another TLS server on port ${port} has the host ${host}`, winner: same.gateway };
  }
  return undefined;
}

function familyOf(server: Server): GatewayListener["family"] {
  if (isTlsServer(server)) return "tls";
  return isHttpServer(server) ? "http" : "tcp";
}

function gatewayServer(gateway: Gateway, server: Server, index: number, port: number): GatewayServer {
  return {
    gateway,
    index,
    server,
    protocol: parseProtocol(server.port.protocol),
    routeName: routeNameOf(gateway, server, port),
    hosts: [...new Set(serverHosts(server, gateway.namespace).map(({ host }) => host))],
    virtualServices: [],
  };
}

function routeNameOf(gateway: Gateway, server: Server, port: number): string {
  if (isHttpsServerWithTermination(server)) {
    return gatewayHttpsRouteName({
      port: server.port.number,
      portName: server.port.name,
      gateway: gateway.name,
      namespace: gateway.namespace,
      bind: server.bind,
    });
  }
  return isHttpServer(server) ? gatewayHttpRouteName(port, server.bind) : "";
}

function bind(
  server: GatewayServer,
  virtualServices: readonly BoundVirtualService["virtualService"][],
): BoundVirtualService[] {
  const name = `${server.gateway.namespace}/${server.gateway.name}`;
  const admitted: ServerHost[] = serverHosts(server.server, server.gateway.namespace);
  return virtualServices.flatMap((virtualService) => {
    if (!isBoundTo(virtualService, name)) return [];
    const hosts = hostsOnServer(virtualService, admitted);
    return hosts.length === 0 ? [] : [{ virtualService, hosts, gateway: name }];
  });
}

/** A Service with this label leaves the ports of servers as they are written. */
const noTranslation = "experimental.istio.io/disable-gateway-port-translation";

/** Service port → the pod's own ports, of the Services in front of the gateway. */
function targetPortsOf(instances: readonly ServiceInstance[]): Map<number, number[]> {
  const ports = new Map<number, number[]>();
  for (const { service, port, targetPort } of instances) {
    if (service.labels[noTranslation] === "true") continue;
    const known = ports.get(port.number);
    if (known === undefined) ports.set(port.number, [targetPort]);
    else if (!known.includes(targetPort)) known.push(targetPort);
  }
  return ports;
}
