// The HTTP filters of Istio's chains that take the same configuration everywhere: one constant each. A chain is an
// ordered list of these with the authorization filters in between.
import { create, type DescMessage, type MessageInitShape } from "@bufbuild/protobuf";
import { CorsSchema } from "#wire/gen/envoy/extensions/filters/http/cors/v3/cors_pb.ts";
import { HTTPFaultSchema } from "#wire/gen/envoy/extensions/filters/http/fault/v3/fault_pb.ts";
import { FilterConfigSchema as GrpcStatsSchema } from "#wire/gen/envoy/extensions/filters/http/grpc_stats/v3/config_pb.ts";
import { GrpcWebSchema } from "#wire/gen/envoy/extensions/filters/http/grpc_web/v3/grpc_web_pb.ts";
import { RouterSchema } from "#wire/gen/envoy/extensions/filters/http/router/v3/router_pb.ts";
import { StatefulSessionSchema } from "#wire/gen/envoy/extensions/filters/http/stateful_session/v3/stateful_session_pb.ts";
import {
  type HttpFilter,
  HttpFilterSchema,
} from "#wire/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts";
import { FilterConfigSchema as AlpnSchema, FilterConfig_Protocol } from "#wire/gen/istio/alpn-filter_pb.ts";
import { ConfigSchema as PeerMetadataSchema } from "#wire/gen/istio/peer-metadata_pb.ts";
import { pack } from "../envoy-values.ts";

/** Where a chain of filters stands. */
export type ListenerClass = "sidecar-inbound" | "sidecar-outbound" | "gateway";

export function httpFilter<Desc extends DescMessage>(
  name: string,
  schema: Desc,
  init: MessageInitShape<Desc>,
): HttpFilter {
  return create(HttpFilterSchema, { name, configType: { case: "typedConfig", value: pack(schema, init) } });
}

export interface HttpChainSettings {
  readonly class: ListenerClass;
  readonly grpcWeb: boolean;
  /** External authorization, tokens and RBAC, in order; empty on sidecar outbound. */
  readonly authorization: readonly HttpFilter[];
  /** Some service has persistent sessions. */
  readonly sessions?: boolean;
  readonly stats: readonly HttpFilter[];
  /** What looks up hosts that requests name; absent: nothing has to. */
  readonly forwardProxies?: readonly HttpFilter[];
}

/** Puts the filters of a chain in Istio's order, the router last. */
export function httpFilterChain(settings: HttpChainSettings): HttpFilter[] {
  const inbound = settings.class === "sidecar-inbound";
  return [
    inbound ? peerMetadataInbound : peerMetadataOutbound,
    ...settings.authorization,
    ...(settings.grpcWeb ? [grpcWeb] : []),
    grpcStats,
    ...(inbound ? [] : [alpn]),
    fault,
    cors,
    ...settings.stats,
    ...(settings.sessions ? [noSession] : []),
    ...(settings.forwardProxies ?? []),
    router,
  ];
}

const discovery = [{ methodSpecifier: { case: "istioHeaders" as const, value: {} } }];
const workloadDiscovery = { methodSpecifier: { case: "workloadDiscovery" as const, value: {} } };

/** The server learns who calls from the peer's headers and answers with its own metadata. */
const peerMetadataInbound = httpFilter("istio.metadata_exchange", PeerMetadataSchema, {
  downstreamDiscovery: [...discovery, workloadDiscovery],
  downstreamPropagation: discovery,
});

const peerMetadataOutbound = httpFilter("istio.metadata_exchange", PeerMetadataSchema, {
  upstreamDiscovery: [...discovery, workloadDiscovery],
  upstreamPropagation: [{ methodSpecifier: { case: "istioHeaders" as const, value: { skipExternalClusters: true } } }],
});

const grpcWeb = httpFilter("envoy.filters.http.grpc_web", GrpcWebSchema, {});

const grpcStats = httpFilter("envoy.filters.http.grpc_stats", GrpcStatsSchema, {
  emitFilterState: true,
  perMethodStatSpecifier: { case: "statsForAllMethods", value: { value: false } },
});

const alpn = httpFilter("istio.alpn", AlpnSchema, {
  alpnOverride: [
    { upstreamProtocol: FilterConfig_Protocol.HTTP10, alpnOverride: ["istio-http/1.0", "istio", "http/1.0"] },
    { upstreamProtocol: FilterConfig_Protocol.HTTP11, alpnOverride: ["istio-http/1.1", "istio", "http/1.1"] },
    { upstreamProtocol: FilterConfig_Protocol.HTTP2, alpnOverride: ["istio-h2", "istio", "h2"] },
  ],
});

const fault = httpFilter("envoy.filters.http.fault", HTTPFaultSchema, {});

const cors = httpFilter("envoy.filters.http.cors", CorsSchema, {});

export const sessionFilterName = "envoy.filters.http.stateful_session";

/** Routes say which sessions there are. */
const noSession = httpFilter(sessionFilterName, StatefulSessionSchema, {});

const router = httpFilter("envoy.filters.http.router", RouterSchema, {});
