// The HTTP connection manager of outbound chains: routes come over RDS.
import type { Filter } from "#wire/gen/envoy/config/listener/v3/listener_components_pb.ts";
import type { MeshSnapshot } from "../../snapshot/snapshot.ts";
import { httpConnectionManager, type PathNormalization } from "../filters/http-connection-manager.ts";
import { httpFilterChain } from "../filters/http-filters.ts";
import { sessionsInUse } from "../routes/persistent-session.ts";
import { once } from "../shared-work.ts";
import { meshAccessLogs } from "./chain.ts";

/** Builds the filter once per mesh: it is the same for every proxy. */
export function outboundHttp(snapshot: MeshSnapshot, listener: string, routeName: string, grpcWeb: boolean): Filter {
  return once(snapshot, `outbound http ${listener} ${routeName} ${grpcWeb}`, () =>
    httpConnectionManager({
      class: "sidecar-outbound",
      statPrefix: `outbound_${listener}`,
      routes: routeName,
      httpFilters: httpFilterChain({
        class: "sidecar-outbound",
        grpcWeb,
        authorization: [],
        sessions: sessionsInUse(snapshot),
      }),
      accessLogs: meshAccessLogs(snapshot),
      trustedHops: 0,
      pathNormalization: pathNormalization(snapshot),
    }),
  );
}

export function pathNormalization(snapshot: MeshSnapshot): PathNormalization {
  const { normalization } = snapshot.meshConfig.pathNormalization;
  return normalization === "DEFAULT" ? "BASE" : normalization;
}
