// The HTTP connection manager of outbound chains: routes come over RDS.
import type { Filter } from "#wire/gen/envoy/config/listener/v3/listener_components_pb.ts";
import type { MeshSnapshot } from "../../snapshot/snapshot.ts";
import { httpConnectionManager, type PathNormalization } from "../filters/http-connection-manager.ts";
import { httpFilterChain } from "../filters/http-filters.ts";
import type { ListenerTelemetry } from "../filters/telemetry.ts";
import { once } from "../shared-work.ts";

export interface OutboundHttp {
  /** Its name. */
  readonly listener: string;
  readonly routeName: string;
  readonly grpcWeb: boolean;
  /** Some service has persistent sessions. */
  readonly sessions: boolean;
  readonly telemetry: ListenerTelemetry;
}

/** Builds the filter once for all proxies that count and log alike, and have sessions or none. */
export function outboundHttp(snapshot: MeshSnapshot, settings: OutboundHttp): Filter {
  const { listener, routeName, grpcWeb, sessions, telemetry } = settings;
  return once(snapshot, `outbound http ${listener} ${routeName} ${grpcWeb} ${sessions} ${telemetry.key}`, () =>
    httpConnectionManager({
      class: "sidecar-outbound",
      statPrefix: `outbound_${listener}`,
      routes: routeName,
      httpFilters: httpFilterChain({
        class: "sidecar-outbound",
        grpcWeb,
        authorization: [],
        sessions,
        stats: telemetry.httpStats,
      }),
      accessLogs: telemetry.logs,
      trustedHops: 0,
      pathNormalization: pathNormalization(snapshot),
    }),
  );
}

export function pathNormalization(snapshot: MeshSnapshot): PathNormalization {
  const { normalization } = snapshot.meshConfig.pathNormalization;
  return normalization === "DEFAULT" ? "BASE" : normalization;
}
