// What a Gateway's server is, and which workloads a Gateway selects.
import { isHttpProtocol, Protocol, parseProtocol } from "../../objects/fields/port.ts";
import { type Labels, selects } from "../../objects/fields/selector.ts";
import { ServerTlsMode } from "../../objects/fields/server-tls.ts";
import type { MeshObject } from "../../objects/mesh-object.ts";
import type { GatewaySpec, Server } from "./spec.ts";

export interface ServerHost {
  /** `*`, or a namespace. */
  readonly namespace: string;
  readonly host: string;
}

interface GatewayPod {
  readonly namespace: string;
  readonly labels: Labels;
}

/** `isScoped`: a Gateway is for pods of its own namespace only. */
export function selectsWorkload(
  gateway: { readonly namespace: string; readonly spec: GatewaySpec },
  { namespace, labels }: GatewayPod,
  isScoped: boolean,
): boolean {
  return (!isScoped || gateway.namespace === namespace) && selects(gateway.spec.selector, labels);
}

export function podSubject(pod: MeshObject<unknown>): GatewayPod {
  return { namespace: pod.namespace, labels: pod.metadata.labels ?? {} };
}

/** Takes `[namespace/]host` apart; `.` is the Gateway's own namespace, none means every namespace. */
export function serverHosts(server: Server, gatewayNamespace: string): ServerHost[] {
  return server.hosts.map((entry) => {
    const slash = entry.indexOf("/");
    const namespace = slash === -1 ? "*" : entry.slice(0, slash);
    return {
      namespace: namespace === "." ? gatewayNamespace : namespace,
      host: entry.slice(slash + 1).toLowerCase(),
    };
  });
}

/** TLS is spoken on the port, whether it ends here or not. */
export function isTlsServer(server: Server): boolean {
  return server.tls !== undefined && !isHttpProtocol(parseProtocol(server.port.protocol));
}

/** Requests can be read: plain HTTP, or HTTPS that ends here. */
export function isHttpServer(server: Server): boolean {
  const protocol = parseProtocol(server.port.protocol);
  return isHttpProtocol(protocol) || isHttpsServerWithTermination(server);
}

export function isHttpsServerWithTermination(server: Server): boolean {
  return (
    server.tls !== undefined && parseProtocol(server.port.protocol) === Protocol.Https && !isPassthroughServer(server)
  );
}

export function isTcpServerWithTermination(server: Server): boolean {
  const protocol = parseProtocol(server.port.protocol);
  return (
    server.tls !== undefined && !isHttpProtocol(protocol) && protocol !== Protocol.Https && !isPassthroughServer(server)
  );
}

function isPassthroughServer(server: Server): boolean {
  return server.tls?.mode === ServerTlsMode.Passthrough || server.tls?.mode === ServerTlsMode.AutoPassthrough;
}
