// What a batch of changes can reach: nothing, everything, or the proxies and hosts that the snapshot's own account names.
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import type { ProxyNode } from "#mesh/snapshot/proxy-node.ts";
import { reachOf } from "#mesh/snapshot/reach.ts";
import type { MeshSnapshot } from "#mesh/snapshot/snapshot.ts";

export type Impact =
  | { readonly kind: "none" }
  | { readonly kind: "everything" }
  | {
      readonly kind: "partial";
      /** Hosts whose endpoints differ. */
      readonly hostnames: ReadonlySet<string>;
      /** Proxies that are compiled as a whole. */
      readonly concerns: (proxy: ProxyNode) => boolean;
      /** Proxies whose listeners and routes are compiled. */
      readonly reroutes: (proxy: ProxyNode) => boolean;
      /** Hosts whose services differ. */
      readonly services: ReadonlySet<string>;
      /** Proxies whose clusters and endpoints of these hosts are compiled, with listeners and routes. */
      readonly reclusters: (proxy: ProxyNode) => boolean;
      /** Secrets may differ, for proxies that ask for them by name. */
      readonly secrets: boolean;
    };

/** Reaches nobody. */
export const emptyImpact: Extract<Impact, { kind: "partial" }> = {
  kind: "partial",
  hostnames: new Set(),
  concerns: () => false,
  reroutes: () => false,
  services: new Set(),
  reclusters: () => false,
  secrets: false,
};

/** What secrets are made of, and what says who may have them. */
const ofSecrets: ReadonlySet<string> = new Set(["Secret", "ConfigMap", "ReferenceGrant"]);

/** Whether a change alone is one of endpoints, and may be pushed sooner. */
export function isUrgent({ object }: { readonly object: KubernetesObject }): boolean {
  return object.kind === "EndpointSlice" || object.kind === "Pod";
}

export function assessImpact(previous: MeshSnapshot | undefined, next: MeshSnapshot): Impact {
  if (previous === undefined) return { kind: "everything" };
  if (previous.version === next.version) return { kind: "none" };
  const reach = reachOf(previous, next);
  if (reach === "everything") return { kind: "everything" };
  return {
    kind: "partial",
    ...reach,
    secrets: next.changes.some(({ kind }) => ofSecrets.has(kind)),
  };
}

/** What both reach together. */
export function joinImpacts(a: Impact, b: Impact): Impact {
  if (a.kind === "none") return b;
  if (b.kind === "none") return a;
  if (a.kind === "everything" || b.kind === "everything") return { kind: "everything" };
  return {
    kind: "partial",
    hostnames: new Set([...a.hostnames, ...b.hostnames]),
    concerns: (proxy) => a.concerns(proxy) || b.concerns(proxy),
    reroutes: (proxy) => a.reroutes(proxy) || b.reroutes(proxy),
    services: new Set([...a.services, ...b.services]),
    reclusters: (proxy) => a.reclusters(proxy) || b.reclusters(proxy),
    secrets: a.secrets || b.secrets,
  };
}
