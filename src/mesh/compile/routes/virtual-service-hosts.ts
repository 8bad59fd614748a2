// Which VirtualService speaks for a service: the one with the most specific host; among equals the first.
import type { VirtualServiceSpec } from "../../kinds/virtual-service/spec.ts";
import type { MeshObject } from "../../objects/mesh-object.ts";

export type VirtualService = MeshObject<VirtualServiceSpec>;

/** VirtualServices by host, so that the ones for a hostname are found without looking at all of them. */
export interface HostIndex {
  readonly exact: ReadonlyMap<string, readonly VirtualService[]>;
  /** Wildcard suffixes (`.example.com`, or empty for `*`), longest first. */
  readonly wildcards: readonly { readonly suffix: string; readonly object: VirtualService }[];
}

export function indexByHost(virtualServices: readonly VirtualService[]): HostIndex {
  const exact = new Map<string, VirtualService[]>();
  const wildcards: { suffix: string; object: VirtualService }[] = [];
  for (const object of virtualServices) {
    for (const host of object.spec.hosts.map((name) => name.toLowerCase())) {
      if (host.startsWith("*")) {
        wildcards.push({ suffix: host.slice(1), object });
        continue;
      }
      const objects = exact.get(host);
      if (objects === undefined) exact.set(host, [object]);
      else objects.push(object);
    }
  }
  // The sort is stable: equally long suffixes stay in the order of their VirtualServices.
  return { exact, wildcards: wildcards.sort((a, b) => b.suffix.length - a.suffix.length) };
}

/** The candidates for a hostname, the one that should speak for it first. */
export function virtualServicesFor(index: HostIndex, hostname: string): VirtualService[] {
  const matching = index.wildcards.filter(({ suffix }) => matchesSuffix(hostname, suffix));
  return [...(index.exact.get(hostname) ?? []), ...matching.map(({ object }) => object)];
}

/** `*.example.com` does not match `example.com`; a wildcard service is matched by a wider wildcard. */
export function matchesSuffix(hostname: string, suffix: string): boolean {
  const name = hostname.startsWith("*") ? hostname.slice(1) : hostname;
  if (suffix === "") return true;
  return name.endsWith(suffix) && (name.length > suffix.length || hostname.startsWith("*"));
}
