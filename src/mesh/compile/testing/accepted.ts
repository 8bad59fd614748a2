// For tests: everything that Envoy would refuse in the resources of a proxy. Constraints of the protos, and the rules
// between resources that Envoy checks in code.
import { createRegistry, type DescMessage, type Message, type Registry, toJsonString } from "@bufbuild/protobuf";
import { ClusterSchema } from "#wire/gen/envoy/config/cluster/v3/cluster_pb.ts";
import { ClusterLoadAssignmentSchema } from "#wire/gen/envoy/config/endpoint/v3/endpoint_pb.ts";
import { type FilterChain, FilterChainMatchSchema } from "#wire/gen/envoy/config/listener/v3/listener_components_pb.ts";
import { type Listener, ListenerSchema } from "#wire/gen/envoy/config/listener/v3/listener_pb.ts";
import { type RouteConfiguration, RouteConfigurationSchema } from "#wire/gen/envoy/config/route/v3/route_pb.ts";
import { FileAccessLogSchema } from "#wire/gen/envoy/extensions/access_loggers/file/v3/file_pb.ts";
import { CorsPolicySchema, CorsSchema } from "#wire/gen/envoy/extensions/filters/http/cors/v3/cors_pb.ts";
import { ExtAuthzSchema } from "#wire/gen/envoy/extensions/filters/http/ext_authz/v3/ext_authz_pb.ts";
import { HTTPFaultSchema } from "#wire/gen/envoy/extensions/filters/http/fault/v3/fault_pb.ts";
import { FilterConfigSchema as GrpcStatsSchema } from "#wire/gen/envoy/extensions/filters/http/grpc_stats/v3/config_pb.ts";
import { GrpcWebSchema } from "#wire/gen/envoy/extensions/filters/http/grpc_web/v3/grpc_web_pb.ts";
import { JwtAuthenticationSchema } from "#wire/gen/envoy/extensions/filters/http/jwt_authn/v3/config_pb.ts";
import { RBACSchema as HttpRbacSchema } from "#wire/gen/envoy/extensions/filters/http/rbac/v3/rbac_pb.ts";
import { RouterSchema } from "#wire/gen/envoy/extensions/filters/http/router/v3/router_pb.ts";
import { HttpInspectorSchema } from "#wire/gen/envoy/extensions/filters/listener/http_inspector/v3/http_inspector_pb.ts";
import { OriginalDstSchema } from "#wire/gen/envoy/extensions/filters/listener/original_dst/v3/original_dst_pb.ts";
import { TlsInspectorSchema } from "#wire/gen/envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector_pb.ts";
import { HttpConnectionManagerSchema } from "#wire/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts";
import { RBACSchema as NetworkRbacSchema } from "#wire/gen/envoy/extensions/filters/network/rbac/v3/rbac_pb.ts";
import { TcpProxySchema } from "#wire/gen/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.ts";
import { PreviousHostsPredicateSchema } from "#wire/gen/envoy/extensions/retry/host/previous_hosts/v3/previous_hosts_pb.ts";
import { PreviousPrioritiesConfigSchema } from "#wire/gen/envoy/extensions/retry/priority/previous_priorities/v3/previous_priorities_config_pb.ts";
import { RawBufferSchema } from "#wire/gen/envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer_pb.ts";
import {
  DownstreamTlsContextSchema,
  UpstreamTlsContextSchema,
} from "#wire/gen/envoy/extensions/transport_sockets/tls/v3/tls_pb.ts";
import { HttpProtocolOptionsSchema } from "#wire/gen/envoy/extensions/upstreams/http/v3/http_protocol_options_pb.ts";
import { FilterConfigSchema as AlpnSchema } from "#wire/gen/istio/alpn-filter_pb.ts";
import { MetadataExchangeSchema } from "#wire/gen/istio/metadata-exchange_pb.ts";
import { ConfigSchema as PeerMetadataSchema } from "#wire/gen/istio/peer-metadata_pb.ts";
import { PluginConfigSchema } from "#wire/gen/istio/stats-filter_pb.ts";
import type { CompiledResources } from "../compile.ts";
import { brokenRules } from "./envoy-rules.ts";

/** Every message that compiled resources carry packed. */
const registry: Registry = createRegistry(
  AlpnSchema,
  CorsPolicySchema,
  CorsSchema,
  DownstreamTlsContextSchema,
  ExtAuthzSchema,
  FileAccessLogSchema,
  GrpcStatsSchema,
  GrpcWebSchema,
  HTTPFaultSchema,
  HttpConnectionManagerSchema,
  HttpInspectorSchema,
  HttpProtocolOptionsSchema,
  HttpRbacSchema,
  JwtAuthenticationSchema,
  MetadataExchangeSchema,
  NetworkRbacSchema,
  OriginalDstSchema,
  PeerMetadataSchema,
  PluginConfigSchema,
  PreviousHostsPredicateSchema,
  PreviousPrioritiesConfigSchema,
  RawBufferSchema,
  RouterSchema,
  TcpProxySchema,
  TlsInspectorSchema,
  UpstreamTlsContextSchema,
);

/** Lists what Envoy would refuse, as `resource path: reason`. */
export function refusals(compiled: CompiledResources): string[] {
  const check = (schema: DescMessage, resources: ReadonlyMap<string, Message>): string[] =>
    [...resources].flatMap(([name, resource]) =>
      brokenRules(schema, resource, registry).map((problem) => `${name} ${problem}`),
    );
  return [
    ...check(ListenerSchema, compiled.listeners),
    ...check(RouteConfigurationSchema, compiled.routes),
    ...check(ClusterSchema, compiled.clusters),
    ...check(ClusterLoadAssignmentSchema, compiled.endpoints),
    ...[...compiled.listeners.values()].flatMap(listenerRefusals),
    ...[...compiled.routes.values()].flatMap(routeRefusals),
  ];
}

function listenerRefusals(listener: Listener): string[] {
  const matches = listener.filterChains.map(matchText);
  return [
    ...repeated(matches).map((match) => `${listener.name}: two filter chains match ${match}`),
    ...(listener.filterChains.length === 0 ? [`${listener.name}: no filter chains`] : []),
  ];
}

function matchText({ filterChainMatch }: FilterChain): string {
  return filterChainMatch === undefined ? "{}" : toJsonString(FilterChainMatchSchema, filterChainMatch);
}

function routeRefusals(routes: RouteConfiguration): string[] {
  const names = repeated(routes.virtualHosts.map(({ name }) => name));
  const domains = repeated(routes.virtualHosts.flatMap((host) => host.domains.map((domain) => domain.toLowerCase())));
  return [
    ...names.map((name) => `${routes.name}: two virtual hosts named ${name}`),
    ...domains.map((domain) => `${routes.name}: domain ${domain} twice`),
  ];
}

function repeated(values: readonly string[]): string[] {
  return values.filter((value, index) => values.indexOf(value) !== index);
}
