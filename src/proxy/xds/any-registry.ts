// The messages that may stand in an Any of our configuration, for JSON in both directions: the admin API and bootstrap
// files. Loaded only there; the data path decodes by type URL.
import { createRegistry, type Registry } from "@bufbuild/protobuf";
import { BytesValueSchema, DurationSchema, StringValueSchema, StructSchema } from "@bufbuild/protobuf/wkt";
import { BootstrapConfigDumpSchema, SecretsConfigDumpSchema } from "#wire/gen/envoy/admin/v3/config_dump_pb.ts";
import {
  ClustersConfigDumpSchema,
  EcdsConfigDumpSchema,
  EndpointsConfigDumpSchema,
  ListenersConfigDumpSchema,
  RoutesConfigDumpSchema,
} from "#wire/gen/envoy/admin/v3/config_dump_shared_pb.ts";
import { BootstrapSchema } from "#wire/gen/envoy/config/bootstrap/v3/bootstrap_pb.ts";
import { ClusterSchema } from "#wire/gen/envoy/config/cluster/v3/cluster_pb.ts";
import { TypedExtensionConfigSchema } from "#wire/gen/envoy/config/core/v3/extension_pb.ts";
import { ClusterLoadAssignmentSchema } from "#wire/gen/envoy/config/endpoint/v3/endpoint_pb.ts";
import { ListenerSchema } from "#wire/gen/envoy/config/listener/v3/listener_pb.ts";
import { ScaleTimersOverloadActionConfigSchema } from "#wire/gen/envoy/config/overload/v3/overload_pb.ts";
import { ActionSchema as RbacActionSchema } from "#wire/gen/envoy/config/rbac/v3/rbac_pb.ts";
import { RouteConfigurationSchema } from "#wire/gen/envoy/config/route/v3/route_pb.ts";
import { DatadogConfigSchema } from "#wire/gen/envoy/config/trace/v3/datadog_pb.ts";
import { OpenTelemetryConfigSchema } from "#wire/gen/envoy/config/trace/v3/opentelemetry_pb.ts";
import { SkyWalkingConfigSchema } from "#wire/gen/envoy/config/trace/v3/skywalking_pb.ts";
import { ZipkinConfigSchema } from "#wire/gen/envoy/config/trace/v3/zipkin_pb.ts";
import { FileAccessLogSchema } from "#wire/gen/envoy/extensions/access_loggers/file/v3/file_pb.ts";
import { ExpressionFilterSchema } from "#wire/gen/envoy/extensions/access_loggers/filters/cel/v3/cel_pb.ts";
import {
  HttpGrpcAccessLogConfigSchema,
  TcpGrpcAccessLogConfigSchema,
} from "#wire/gen/envoy/extensions/access_loggers/grpc/v3/als_pb.ts";
import { OpenTelemetryAccessLogConfigSchema } from "#wire/gen/envoy/extensions/access_loggers/open_telemetry/v3/logs_service_pb.ts";
import { ClusterConfigSchema as ForwardProxyClusterSchema } from "#wire/gen/envoy/extensions/clusters/dynamic_forward_proxy/v3/cluster_pb.ts";
import { ExtAuthzSchema as HttpExtAuthzSchema } from "#wire/gen/envoy/extensions/filters/http/ext_authz/v3/ext_authz_pb.ts";
import { HttpInspectorSchema } from "#wire/gen/envoy/extensions/filters/listener/http_inspector/v3/http_inspector_pb.ts";
import { OriginalDstSchema } from "#wire/gen/envoy/extensions/filters/listener/original_dst/v3/original_dst_pb.ts";
import { OriginalSrcSchema } from "#wire/gen/envoy/extensions/filters/listener/original_src/v3/original_src_pb.ts";
import { ProxyProtocolSchema } from "#wire/gen/envoy/extensions/filters/listener/proxy_protocol/v3/proxy_protocol_pb.ts";
import { TlsInspectorSchema } from "#wire/gen/envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector_pb.ts";
import { ConnectionLimitSchema } from "#wire/gen/envoy/extensions/filters/network/connection_limit/v3/connection_limit_pb.ts";
import { ConfigSchema as DirectResponseSchema } from "#wire/gen/envoy/extensions/filters/network/direct_response/v3/config_pb.ts";
import { EchoSchema } from "#wire/gen/envoy/extensions/filters/network/echo/v3/echo_pb.ts";
import { ExtAuthzSchema as NetworkExtAuthzSchema } from "#wire/gen/envoy/extensions/filters/network/ext_authz/v3/ext_authz_pb.ts";
import { HttpConnectionManagerSchema } from "#wire/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts";
import { LocalRateLimitSchema as NetworkLocalRateLimitSchema } from "#wire/gen/envoy/extensions/filters/network/local_ratelimit/v3/local_rate_limit_pb.ts";
import { MongoProxySchema } from "#wire/gen/envoy/extensions/filters/network/mongo_proxy/v3/mongo_proxy_pb.ts";
import { RBACSchema as NetworkRbacSchema } from "#wire/gen/envoy/extensions/filters/network/rbac/v3/rbac_pb.ts";
import { RedisProxySchema } from "#wire/gen/envoy/extensions/filters/network/redis_proxy/v3/redis_proxy_pb.ts";
import { SniClusterSchema } from "#wire/gen/envoy/extensions/filters/network/sni_cluster/v3/sni_cluster_pb.ts";
import { FilterConfigSchema as SniForwardProxySchema } from "#wire/gen/envoy/extensions/filters/network/sni_dynamic_forward_proxy/v3/sni_dynamic_forward_proxy_pb.ts";
import { TcpProxySchema } from "#wire/gen/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.ts";
import { PreserveCaseFormatterConfigSchema } from "#wire/gen/envoy/extensions/http/header_formatters/preserve_case/v3/preserve_case_pb.ts";
import { CustomHeaderConfigSchema } from "#wire/gen/envoy/extensions/http/original_ip_detection/custom_header/v3/custom_header_pb.ts";
import { XffConfigSchema } from "#wire/gen/envoy/extensions/http/original_ip_detection/xff/v3/xff_pb.ts";
import { ClientSideWeightedRoundRobinSchema } from "#wire/gen/envoy/extensions/load_balancing_policies/client_side_weighted_round_robin/v3/client_side_weighted_round_robin_pb.ts";
import { ClusterProvidedSchema } from "#wire/gen/envoy/extensions/load_balancing_policies/cluster_provided/v3/cluster_provided_pb.ts";
import { LeastRequestSchema } from "#wire/gen/envoy/extensions/load_balancing_policies/least_request/v3/least_request_pb.ts";
import { MaglevSchema } from "#wire/gen/envoy/extensions/load_balancing_policies/maglev/v3/maglev_pb.ts";
import { RandomSchema } from "#wire/gen/envoy/extensions/load_balancing_policies/random/v3/random_pb.ts";
import { RingHashSchema } from "#wire/gen/envoy/extensions/load_balancing_policies/ring_hash/v3/ring_hash_pb.ts";
import { RoundRobinSchema } from "#wire/gen/envoy/extensions/load_balancing_policies/round_robin/v3/round_robin_pb.ts";
import { SubsetSchema } from "#wire/gen/envoy/extensions/load_balancing_policies/subset/v3/subset_pb.ts";
import { WrrLocalitySchema } from "#wire/gen/envoy/extensions/load_balancing_policies/wrr_locality/v3/wrr_locality_pb.ts";
import {
  ApplicationProtocolInputSchema,
  DestinationIPInputSchema,
  DestinationPortInputSchema,
  DirectSourceIPInputSchema,
  ServerNameInputSchema,
  SourceIPInputSchema,
  SourcePortInputSchema,
  SourceTypeInputSchema,
  TransportProtocolInputSchema,
} from "#wire/gen/envoy/extensions/matching/common_inputs/network/v3/network_inputs_pb.ts";
import { file_envoy_extensions_matching_common_inputs_ssl_v3_ssl_inputs as sslInputs } from "#wire/gen/envoy/extensions/matching/common_inputs/ssl/v3/ssl_inputs_pb.ts";
import { IpSchema } from "#wire/gen/envoy/extensions/matching/input_matchers/ip/v3/ip_pb.ts";
import { UriTemplateMatchConfigSchema } from "#wire/gen/envoy/extensions/path/match/uri_template/v3/uri_template_match_pb.ts";
import { UuidRequestIdConfigSchema } from "#wire/gen/envoy/extensions/request_id/uuid/v3/uuid_pb.ts";
import { CgroupMemoryConfigSchema } from "#wire/gen/envoy/extensions/resource_monitors/cgroup_memory/v3/cgroup_memory_pb.ts";
import { DownstreamConnectionsConfigSchema } from "#wire/gen/envoy/extensions/resource_monitors/downstream_connections/v3/downstream_connections_pb.ts";
import { FixedHeapConfigSchema } from "#wire/gen/envoy/extensions/resource_monitors/fixed_heap/v3/fixed_heap_pb.ts";
import { PreviousHostsPredicateSchema } from "#wire/gen/envoy/extensions/retry/host/previous_hosts/v3/previous_hosts_pb.ts";
import { PreviousPrioritiesConfigSchema } from "#wire/gen/envoy/extensions/retry/priority/previous_priorities/v3/previous_priorities_config_pb.ts";
import { DynatraceResourceDetectorConfigSchema } from "#wire/gen/envoy/extensions/tracers/opentelemetry/resource_detectors/v3/dynatrace_resource_detector_pb.ts";
import { EnvironmentResourceDetectorConfigSchema } from "#wire/gen/envoy/extensions/tracers/opentelemetry/resource_detectors/v3/environment_resource_detector_pb.ts";
import { DynatraceSamplerConfigSchema } from "#wire/gen/envoy/extensions/tracers/opentelemetry/samplers/v3/dynatrace_sampler_pb.ts";
import { ProxyProtocolUpstreamTransportSchema } from "#wire/gen/envoy/extensions/transport_sockets/proxy_protocol/v3/upstream_proxy_protocol_pb.ts";
import { RawBufferSchema } from "#wire/gen/envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer_pb.ts";
import { SecretSchema } from "#wire/gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.ts";
import {
  DownstreamTlsContextSchema,
  UpstreamTlsContextSchema,
} from "#wire/gen/envoy/extensions/transport_sockets/tls/v3/tls_pb.ts";
import { HttpProtocolOptionsSchema } from "#wire/gen/envoy/extensions/upstreams/http/v3/http_protocol_options_pb.ts";
import { HttpRequestHeaderMatchInputSchema } from "#wire/gen/envoy/type/matcher/v3/http_inputs_pb.ts";
import { MetadataExchangeSchema } from "#wire/gen/istio/metadata-exchange_pb.ts";
import { TypedStructSchema as UdpaTypedStructSchema } from "#wire/gen/udpa/type/v1/typed_struct_pb.ts";
import { CelMatcherSchema } from "#wire/gen/xds/type/matcher/v3/cel_pb.ts";
import { ServerNameMatcherSchema } from "#wire/gen/xds/type/matcher/v3/domain_pb.ts";
import { HttpAttributesCelMatchInputSchema } from "#wire/gen/xds/type/matcher/v3/http_inputs_pb.ts";
import { IPMatcherSchema } from "#wire/gen/xds/type/matcher/v3/ip_pb.ts";
import { TypedStructSchema } from "#wire/gen/xds/type/v3/typed_struct_pb.ts";
import { httpFilterMessages } from "../config/decode-http-filters.ts";

let registry: Registry | undefined;

export function anyRegistry(): Registry {
  registry ??= createRegistry(
    ...httpFilterMessages(),
    ApplicationProtocolInputSchema,
    BootstrapConfigDumpSchema,
    BootstrapSchema,
    BytesValueSchema,
    CelMatcherSchema,
    CgroupMemoryConfigSchema,
    DurationSchema,
    FixedHeapConfigSchema,
    ScaleTimersOverloadActionConfigSchema,
    ClientSideWeightedRoundRobinSchema,
    ClusterLoadAssignmentSchema,
    ClusterProvidedSchema,
    ClusterSchema,
    ClustersConfigDumpSchema,
    ConnectionLimitSchema,
    CustomHeaderConfigSchema,
    DatadogConfigSchema,
    DestinationIPInputSchema,
    DestinationPortInputSchema,
    DirectResponseSchema,
    DirectSourceIPInputSchema,
    DownstreamConnectionsConfigSchema,
    DownstreamTlsContextSchema,
    DynatraceResourceDetectorConfigSchema,
    DynatraceSamplerConfigSchema,
    EcdsConfigDumpSchema,
    EchoSchema,
    EndpointsConfigDumpSchema,
    EnvironmentResourceDetectorConfigSchema,
    ExpressionFilterSchema,
    ForwardProxyClusterSchema,
    FileAccessLogSchema,
    HttpAttributesCelMatchInputSchema,
    HttpConnectionManagerSchema,
    HttpExtAuthzSchema,
    HttpGrpcAccessLogConfigSchema,
    HttpInspectorSchema,
    HttpProtocolOptionsSchema,
    HttpRequestHeaderMatchInputSchema,
    IPMatcherSchema,
    IpSchema,
    LeastRequestSchema,
    ListenerSchema,
    ListenersConfigDumpSchema,
    MaglevSchema,
    MetadataExchangeSchema,
    MongoProxySchema,
    NetworkExtAuthzSchema,
    NetworkLocalRateLimitSchema,
    NetworkRbacSchema,
    OpenTelemetryAccessLogConfigSchema,
    OpenTelemetryConfigSchema,
    OriginalDstSchema,
    OriginalSrcSchema,
    PreserveCaseFormatterConfigSchema,
    PreviousHostsPredicateSchema,
    PreviousPrioritiesConfigSchema,
    ProxyProtocolSchema,
    ProxyProtocolUpstreamTransportSchema,
    RandomSchema,
    RawBufferSchema,
    RbacActionSchema,
    RedisProxySchema,
    RingHashSchema,
    RoundRobinSchema,
    RouteConfigurationSchema,
    RoutesConfigDumpSchema,
    SecretSchema,
    SecretsConfigDumpSchema,
    ServerNameInputSchema,
    ServerNameMatcherSchema,
    SkyWalkingConfigSchema,
    SniClusterSchema,
    SniForwardProxySchema,
    SourceIPInputSchema,
    SourcePortInputSchema,
    SourceTypeInputSchema,
    StringValueSchema,
    StructSchema,
    SubsetSchema,
    TcpGrpcAccessLogConfigSchema,
    TcpProxySchema,
    TlsInspectorSchema,
    TransportProtocolInputSchema,
    TypedStructSchema,
    TypedExtensionConfigSchema,
    UdpaTypedStructSchema,
    UpstreamTlsContextSchema,
    UriTemplateMatchConfigSchema,
    UuidRequestIdConfigSchema,
    WrrLocalitySchema,
    XffConfigSchema,
    ZipkinConfigSchema,
    sslInputs,
  );
  return registry;
}
