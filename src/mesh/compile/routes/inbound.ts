// The inline route configuration of an inbound port: everything goes to the application.
import { create } from "@bufbuild/protobuf";
import { type RouteConfiguration, RouteConfigurationSchema } from "#wire/gen/envoy/config/route/v3/route_pb.ts";
import { milliseconds } from "../envoy-values.ts";
import { defaultRouteName, inboundVirtualHostName } from "../names.ts";
import { inboundRetryPolicy } from "./retry-policy.ts";

export interface InboundRouteSettings {
  readonly cluster: string;
  readonly servicePort: number;
  /** What traces call the route: `reviews.default.svc.cluster.local:9080/*`. */
  readonly operation: string;
  /** gRPC calls are not retried: what the application saw of them is not known. */
  readonly grpc: boolean;
}

export function inboundRoutes(settings: InboundRouteSettings): RouteConfiguration {
  const noTimeout = milliseconds(0);
  return create(RouteConfigurationSchema, {
    name: settings.cluster,
    validateClusters: false,
    virtualHosts: [
      {
        name: inboundVirtualHostName(settings.servicePort),
        domains: ["*"],
        routes: [
          {
            name: defaultRouteName,
            match: { pathSpecifier: { case: "prefix", value: "/" } },
            action: {
              case: "route",
              value: {
                clusterSpecifier: { case: "cluster", value: settings.cluster },
                timeout: noTimeout,
                maxStreamDuration: { maxStreamDuration: noTimeout, grpcTimeoutHeaderMax: noTimeout },
                ...(!settings.grpc && { retryPolicy: inboundRetryPolicy }),
              },
            },
            decorator: { operation: settings.operation },
          },
        ],
      },
    ],
  });
}
