// The Host headers under which a service is called from a proxy. Ports are not part of them: the route
// configuration ignores ports.
import type { ProxyNode } from "../../snapshot/proxy-node.ts";
import type { Service } from "../../snapshot/service.ts";
import { isIpAddress } from "../envoy-values.ts";
import { onceForAll } from "../shared-work.ts";

/** Lists the domains of a service's virtual host, the full name first. The same list for clients who use the same names. */
export function serviceDomains(service: Service, proxy: ProxyNode, aliases: readonly Service[] = []): string[] {
  const own = `.${proxy.namespace}.svc.${proxy.clusterDomain}`;
  const isLocal = [service, ...aliases].some(({ hostname }) => hostname.endsWith(own));
  const key = `domains ${proxy.clusterDomain} ${proxy.dnsCapture} ${isLocal ? proxy.namespace : ""}`;
  return onceForAll([service, ...aliases], key, () => listDomains(service, proxy, aliases));
}

function listDomains(service: Service, proxy: ProxyNode, aliases: readonly Service[]): string[] {
  const domains = [service, ...aliases].flatMap(({ hostname }) => [hostname, ...shortNames(hostname, proxy)]);
  // Pods of a headless service have names of their own.
  if (service.source === "kubernetes" && service.headless) domains.push(...domains.map((domain) => `*.${domain}`));
  const addresses = [...service.addresses, ...(proxy.dnsCapture ? service.autoAllocatedAddresses : [])];
  for (const address of addresses) {
    if (isIpAddress(address) && address !== "0.0.0.0") domains.push(bracketed(address));
  }
  return [...new Set(domains)];
}

/** `name.ns.svc`, `name.ns` and within the namespace `name`, for names of the proxy's own cluster domain. */
function shortNames(hostname: string, proxy: ProxyNode): string[] {
  const suffix = `.svc.${proxy.clusterDomain}`;
  if (!hostname.endsWith(suffix)) return [];
  const short = hostname.slice(0, -suffix.length);
  const dot = short.indexOf(".");
  if (dot <= 0) return [];
  // `*` alone would be every host.
  const isOwnNamespace = short.slice(dot + 1) === proxy.namespace && short.slice(0, dot) !== "*";
  return [`${hostname}.`, ...(isOwnNamespace ? [short.slice(0, dot)] : []), `${short}.svc`, short];
}

/** An IPv6 address in a Host header stands in brackets. */
export function bracketed(host: string): string {
  return host.includes(":") ? `[${host}]` : host;
}
