// The ports of a workload that get inbound listeners' filter chains and clusters of their own: those that services
// name, or those of the Sidecar resource where it has ingress listeners.
import type { Origin } from "#base/issue.ts";
import { type Protocol, parseProtocol } from "../../objects/fields/port.ts";
import type { ConnectionPoolSettings } from "../../objects/fields/traffic-policy.ts";
import type { ProxyNode } from "../../snapshot/proxy-node.ts";
import type { Service } from "../../snapshot/service.ts";
import type { MeshSnapshot } from "../../snapshot/snapshot.ts";
import { effectivePolicy } from "../policy/traffic-policy.ts";
import { isUdp } from "../protocol.ts";

export interface InboundPort {
  /** The port on which the workload listens. */
  readonly targetPort: number;
  readonly servicePort: number;
  readonly protocol: Protocol;
  /** Undefined for ingress listeners of a Sidecar resource. */
  readonly service: Service | undefined;
  /** What metrics and traces call the destination. */
  readonly hostname: string;
  /** Of a Sidecar ingress listener; empty keeps the original destination. */
  readonly defaultEndpoint: string;
  readonly connectionPool: ConnectionPoolSettings | undefined;
  readonly origins: readonly Origin[];
}

/** Lists them in ascending order. Of services that name the same port the oldest decides. */
export function inboundPorts(snapshot: MeshSnapshot, proxy: ProxyNode): InboundPort[] {
  const scope = snapshot.scope(proxy);
  const { sidecar } = scope;
  const ports = new Map<number, InboundPort>();
  if (sidecar !== undefined && scope.ingress.length > 0) {
    for (const listener of scope.ingress) {
      const { number, protocol } = listener.port;
      if (ports.has(number)) continue;
      ports.set(number, {
        targetPort: number,
        servicePort: number,
        protocol: parseProtocol(protocol),
        service: undefined,
        hostname: `${sidecar.name}.${sidecar.namespace}`,
        defaultEndpoint: listener.defaultEndpoint,
        connectionPool: listener.connectionPool ?? sidecar.spec.inboundConnectionPool,
        origins: [sidecar.origin],
      });
    }
  } else {
    for (const { service, port, targetPort } of snapshot.serviceInstances(proxy)) {
      if (isUdp(port.protocol) || ports.has(targetPort)) continue;
      const rule = scope.destinationRule(service);
      ports.set(targetPort, {
        targetPort,
        servicePort: port.number,
        protocol: port.protocol,
        service,
        hostname: service.hostname,
        defaultEndpoint: "",
        // Only the pool of a rule reaches the server side: balancing and TLS are the client's.
        connectionPool:
          sidecar?.spec.inboundConnectionPool ??
          (rule?.namespace === proxy.namespace
            ? effectivePolicy(rule.trafficPolicy, undefined, port.number).connectionPool
            : undefined),
        origins: [service.origin],
      });
    }
  }
  return [...ports.values()].sort((a, b) => a.targetPort - b.targetPort);
}
