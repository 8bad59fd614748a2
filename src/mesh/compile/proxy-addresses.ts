// The addresses of a proxy's own family: where it listens and where it finds its application.
import type { ProxyNode } from "../snapshot/proxy-node.ts";

export function addressFamily(proxy: ProxyNode): "ipv4" | "ipv6" {
  return proxy.ipAddresses[0]?.includes(":") ? "ipv6" : "ipv4";
}

/** Every address. */
export function wildcard(proxy: ProxyNode): string {
  return addressFamily(proxy) === "ipv6" ? "::" : "0.0.0.0";
}

export function localhost(proxy: ProxyNode): string {
  return addressFamily(proxy) === "ipv6" ? "::1" : "127.0.0.1";
}
