// The HTTP connection manager of outbound chains: routes come over RDS.
import type { Filter } from "#wire/gen/envoy/config/listener/v3/listener_components_pb.ts";
import type { RouteConfiguration } from "#wire/gen/envoy/config/route/v3/route_pb.ts";
import type { ProxyNode } from "../../snapshot/proxy-node.ts";
import type { MeshSnapshot } from "../../snapshot/snapshot.ts";
import { httpWithExtensions, listenerExtensions } from "../filters/extensions.ts";
import { forwardProxyFilters, forwardProxyKey } from "../filters/forward-proxy.ts";
import { httpConnectionManager, type PathNormalization } from "../filters/http-connection-manager.ts";
import { httpFilterChain } from "../filters/http-filters.ts";
import type { ListenerTelemetry } from "../filters/telemetry.ts";
import { sessionsInUse } from "../routes/persistent-session.ts";
import { once } from "../shared-work.ts";

export interface OutboundHttp {
  /** Its name. */
  readonly listener: string;
  /** To be asked for, or the routes themselves with a name that is theirs alone. */
  readonly routeName: string;
  readonly routes?: RouteConfiguration;
  /** Of the services; 0 for unknown ones. */
  readonly port: number;
  readonly grpcWeb: boolean;
  readonly telemetry: ListenerTelemetry;
  readonly proxy: ProxyNode;
}

/** Builds the filter once for all proxies that count and log alike, and need the same filters. */
export function outboundHttp(snapshot: MeshSnapshot, settings: OutboundHttp): Filter {
  const { listener, routeName, routes = routeName, port, grpcWeb, telemetry, proxy } = settings;
  const extensions = listenerExtensions(snapshot, proxy, "sidecar-outbound", port);
  const scope = snapshot.scope(proxy);
  const sessions = sessionsInUse(scope);
  const forwards = forwardProxyKey(proxy, scope);
  return once(
    snapshot,
    `outbound http ${listener} ${routeName} ${grpcWeb} ${sessions} ${forwards} ${telemetry.key} ${extensions.key}`,
    () =>
      httpConnectionManager({
        class: "sidecar-outbound",
        statPrefix: `outbound_${listener}`,
        routes,
        httpFilters: httpFilterChain({
          class: "sidecar-outbound",
          grpcWeb,
          authorization: httpWithExtensions(extensions, undefined),
          sessions,
          stats: telemetry.httpStats,
          forwardProxies: forwardProxyFilters(snapshot, proxy, scope),
        }),
        accessLogs: telemetry.logs,
        tracing: telemetry.tracing,
        trustedHops: 0,
        pathNormalization: pathNormalization(snapshot),
      }),
  );
}

export function pathNormalization(snapshot: MeshSnapshot): PathNormalization {
  const { normalization } = snapshot.meshConfig.pathNormalization;
  return normalization === "DEFAULT" ? "BASE" : normalization;
}
