// Where traffic to destinations that the mesh does not know goes: nowhere, where the application sent it, to the host
// that requests name, or to the egress proxy that a Sidecar names.
import { OutboundMode } from "../../objects/fields/outbound-traffic-policy.ts";
import type { SidecarScope } from "../../snapshot/snapshot.ts";
import { allowAnyDynamicDnsCluster, blackHoleCluster, passthroughCluster } from "../names.ts";
import { resolveDestination } from "../routes/destination.ts";

/** Connections of which nothing more is known than their address. */
export function unknownTrafficCluster(scope: SidecarScope): string {
  if (scope.outboundTrafficPolicy === "REGISTRY_ONLY") return blackHoleCluster;
  return scope.egressProxy === undefined ? passthroughCluster : resolveDestination(scope, scope.egressProxy, 0).cluster;
}

/** HTTP requests, which name their host. */
export function unknownRequestsCluster(scope: SidecarScope): string {
  return resolvesUnknownHosts(scope) ? allowAnyDynamicDnsCluster : unknownTrafficCluster(scope);
}

export function resolvesUnknownHosts({ outboundTrafficPolicy }: SidecarScope): boolean {
  return outboundTrafficPolicy === OutboundMode.AllowAnyDynamicDns;
}
