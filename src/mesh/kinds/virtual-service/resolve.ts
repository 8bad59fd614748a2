// Which VirtualServices a client sees, in which order, and to what they are bound. Table in README.md.
import { isVisible, visibility } from "../../objects/export-to.ts";
import { intersectHosts } from "../../objects/host.ts";
import type { MeshObject } from "../../objects/mesh-object.ts";
import { meshGateway, type VirtualServiceSpec } from "./spec.ts";

type VirtualService = MeshObject<VirtualServiceSpec>;

/** Applies the mesh's default. */
export function exportedTo(virtualService: VirtualService, defaultExportTo: readonly string[]): readonly string[] {
  return virtualService.spec.exportTo.length > 0 ? virtualService.spec.exportTo : defaultExportTo;
}

/**
 * Those that are visible from a namespace, in the order in which the first claims a host: private ones of the
 * namespace, those exported to it by name, public ones; each group oldest first, as given.
 */
export function visibleVirtualServices(
  all: readonly VirtualService[],
  namespace: string,
  defaultExportTo: readonly string[],
): VirtualService[] {
  const own: VirtualService[] = [];
  const named: VirtualService[] = [];
  const open: VirtualService[] = [];
  for (const virtualService of all) {
    const exportTo = exportedTo(virtualService, defaultExportTo);
    if (!isVisible(exportTo, virtualService.namespace, namespace)) continue;
    const width = visibility(exportTo, virtualService.namespace);
    (width === "private" ? own : width === "named" ? named : open).push(virtualService);
  }
  return [...own, ...named, ...open];
}

export function isBoundTo(virtualService: VirtualService, gateway: string): boolean {
  return virtualService.spec.gateways.includes(gateway);
}

export function isBoundToMesh(virtualService: VirtualService): boolean {
  return isBoundTo(virtualService, meshGateway);
}

/** A VirtualService without hosts is a fragment that others delegate to; it routes nothing by itself. */
export function isDelegate(virtualService: VirtualService): boolean {
  return virtualService.spec.hosts.length === 0;
}

/** A host of a Gateway's server: who may use it, and the name. */
export interface ServerHost {
  /** `*`, or a namespace. */
  readonly namespace: string;
  readonly host: string;
}

/** The hosts that a VirtualService and a server have in common; of each pair the narrower. */
export function hostsOnServer(virtualService: VirtualService, serverHosts: readonly ServerHost[]): string[] {
  const found = new Set<string>();
  for (const { namespace, host } of serverHosts) {
    if (namespace !== "*" && namespace !== virtualService.namespace) continue;
    for (const claimed of virtualService.spec.hosts) {
      const narrower = intersectHosts(claimed, host);
      if (narrower !== undefined) found.add(narrower);
    }
  }
  return [...found];
}

/** Annotation of a VirtualService that was made of a route of the Gateway API, or of an Ingress; users cannot set it. */
export const routeSemanticsAnnotation = "internal.istio.io/route-semantics";
export const gatewaySemantics = "gateway";
export const ingressSemantics = "ingress";

/** Prefixes are of whole segments, and a backend that does not exist answers 500. */
export function hasGatewaySemantics(virtualService: Pick<VirtualService, "metadata">): boolean {
  return virtualService.metadata.annotations?.[routeSemanticsAnnotation] === gatewaySemantics;
}

/** Prefixes are of whole segments: `/a` does not match `/ab`. */
export function hasSegmentPrefixes(virtualService: Pick<VirtualService, "metadata">): boolean {
  const semantics = virtualService.metadata.annotations?.[routeSemanticsAnnotation];
  return semantics === gatewaySemantics || semantics === ingressSemantics;
}

/** `@request.auth.claims.a.b` and `@request.auth.claims[a][b]` are about a validated token, not about a header. */
export function routingClaims(name: string): string[] | undefined {
  const prefix = "@request.auth.claims";
  if (!name.toLowerCase().startsWith(prefix)) return undefined;
  const rest = name.slice(prefix.length);
  if (rest.startsWith("[") && rest.endsWith("]")) return rest.slice(1, -1).split("][");
  return rest.startsWith(".") && rest.length > 1 ? rest.slice(1).split(".") : undefined;
}
