// Where traffic to destinations that the mesh does not know goes: nowhere, where the application sent it, or to the
// egress proxy that a Sidecar names.
import type { SidecarScope } from "../../snapshot/snapshot.ts";
import { blackHoleCluster, passthroughCluster } from "../names.ts";
import { resolveDestination } from "../routes/destination.ts";

export function unknownTrafficCluster(scope: SidecarScope): string {
  if (scope.outboundTrafficPolicy === "REGISTRY_ONLY") return blackHoleCluster;
  return scope.egressProxy === undefined ? passthroughCluster : resolveDestination(scope, scope.egressProxy, 0).cluster;
}
