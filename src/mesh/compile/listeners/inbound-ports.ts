// The ports of a workload that get inbound listeners' filter chains and clusters of their own: those that services
// name, or those of the Sidecar resource where it has ingress listeners.
import type { Origin } from "#base/issue.ts";
import { type Protocol, parseProtocol } from "../../objects/fields/port.ts";
import type { ServerTlsSettings } from "../../objects/fields/server-tls.ts";
import type { ConnectionPoolSettings } from "../../objects/fields/traffic-policy.ts";
import type { ProxyNode } from "../../snapshot/proxy-node.ts";
import type { Service } from "../../snapshot/service.ts";
import type { MeshSnapshot } from "../../snapshot/snapshot.ts";
import { effectivePolicy } from "../policy/traffic-policy.ts";
import { insideTls, isUdp } from "../protocol.ts";
import { localhost, wildcard } from "../proxy-addresses.ts";
import { bindsToPort } from "./bind-to-port.ts";

export interface InboundPort {
  /** The port on which the workload listens. */
  readonly targetPort: number;
  readonly servicePort: number;
  /** Of what is inside TLS, where the listener ends TLS of the user's own. */
  readonly protocol: Protocol;
  /** The address that names the filter chains, and that a listener of its own binds. */
  readonly bind: string;
  /** It is a listener of its own on a real port: nothing captures connections to it. */
  readonly bindsPort: boolean;
  /** TLS of the user's own, from a Sidecar ingress listener; in force where mutual TLS is disabled. */
  readonly tls: ServerTlsSettings | undefined;
  /** Undefined for ingress listeners of a Sidecar resource. */
  readonly service: Service | undefined;
  /** What metrics and traces call the destination. */
  readonly hostname: string;
  /** Where the application is, as Sidecar ingress listeners write it; empty keeps the original destination. */
  readonly defaultEndpoint: string;
  readonly connectionPool: ConnectionPoolSettings | undefined;
  readonly origins: readonly Origin[];
}

/**
 * Lists them in ascending order. Of services that name the same port the oldest decides. Where nothing is captured only
 * a Sidecar resource can say where to listen: the application has the services' ports itself.
 */
export function inboundPorts(snapshot: MeshSnapshot, proxy: ProxyNode): InboundPort[] {
  const scope = snapshot.scope(proxy);
  const { sidecar } = scope;
  const ports = new Map<number, InboundPort>();
  if (sidecar !== undefined && scope.ingress.length > 0) {
    for (const listener of scope.ingress) {
      const { number } = listener.port;
      if (ports.has(number)) continue;
      const protocol = parseProtocol(listener.port.protocol);
      const bindsPort = bindsToPort(listener.captureMode, proxy);
      ports.set(number, {
        targetPort: number,
        servicePort: number,
        protocol: listener.tls === undefined ? protocol : insideTls(protocol),
        // Where the application listens on the same port of another address, only that of the pod is free.
        bind: listener.bind || (proxy.ipAddresses[0] ?? wildcard(proxy)),
        bindsPort,
        tls: listener.tls,
        service: undefined,
        hostname: `${sidecar.name}.${sidecar.namespace}`,
        // A connection that was not captured has no other destination to keep.
        defaultEndpoint: listener.defaultEndpoint || (bindsPort ? `${localhost(proxy)}:${number}` : ""),
        connectionPool: listener.connectionPool ?? sidecar.spec.inboundConnectionPool,
        origins: [sidecar.origin],
      });
    }
  } else if (proxy.interceptionMode !== "NONE") {
    for (const { service, port, targetPort } of snapshot.serviceInstances(proxy)) {
      if (isUdp(port.protocol) || ports.has(targetPort)) continue;
      const rule = scope.destinationRule(service);
      ports.set(targetPort, {
        targetPort,
        servicePort: port.number,
        protocol: port.protocol,
        bind: wildcard(proxy),
        bindsPort: false,
        tls: undefined,
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
