// Where traffic to destinations that the mesh does not know goes: nowhere, where the application sent it, to the host
// that requests name, or to the egress proxy that a Sidecar names.
import type { Origin } from "#base/issue.ts";
import { OutboundMode } from "../../objects/fields/outbound-traffic-policy.ts";
import type { SidecarScope } from "../../snapshot/snapshot.ts";
import { allowAnyDynamicDnsCluster, blackHoleCluster, passthroughCluster } from "../names.ts";
import { resolveDestination } from "../routes/destination.ts";

export interface UnknownTraffic {
  readonly cluster: string;
  readonly origins: readonly Origin[];
  readonly note: string | undefined;
}

const registryOnlyNote =
  "outboundTrafficPolicy REGISTRY_ONLY lets out what this workload sees in a Service or ServiceEntry, and nothing else";

/** Connections of which nothing more is known than their address. */
function unknownTrafficCluster(scope: SidecarScope): string {
  if (scope.outboundTrafficPolicy === "REGISTRY_ONLY") return blackHoleCluster;
  return scope.egressProxy === undefined ? passthroughCluster : resolveDestination(scope, scope.egressProxy, 0).cluster;
}

/** The same, with what decides that. */
export function unknownTraffic(scope: SidecarScope): UnknownTraffic {
  return {
    cluster: unknownTrafficCluster(scope),
    origins: outboundPolicyOrigins(scope),
    note: scope.outboundTrafficPolicy === OutboundMode.RegistryOnly ? registryOnlyNote : undefined,
  };
}

/** The Sidecar, where it says what to do with traffic to destinations that the mesh does not know. */
export function outboundPolicyOrigins({ sidecar }: SidecarScope): readonly Origin[] {
  return sidecar?.spec.outboundTrafficPolicy === undefined ? [] : [sidecar.origin];
}

/** HTTP requests, which name their host. */
export function unknownRequestsCluster(scope: SidecarScope): string {
  return resolvesUnknownHosts(scope) ? allowAnyDynamicDnsCluster : unknownTrafficCluster(scope);
}

export function resolvesUnknownHosts({ outboundTrafficPolicy }: SidecarScope): boolean {
  return outboundTrafficPolicy === OutboundMode.AllowAnyDynamicDns;
}
