// Resources of a proxy as JSON. The descriptors of everything that an Any may hold are loaded at the first use: serving
// proxies does not need them.
import {
  createRegistry,
  type DescFile,
  type DescMessage,
  fromBinary,
  type JsonValue,
  type Registry,
  toJson,
} from "@bufbuild/protobuf";
import { type Any, AnySchema } from "@bufbuild/protobuf/wkt";
import { anyBytes, type EncodedResource } from "../push/encoded-resource.ts";

export type ResourceRenderer = (resource: EncodedResource) => JsonValue;

let renderer: Promise<ResourceRenderer> | undefined;

export function loadResourceRenderer(): Promise<ResourceRenderer> {
  renderer ??= loadRegistry().then((registry) => (resource) => render(resource, registry));
  return renderer;
}

function render(resource: EncodedResource, registry: Registry): JsonValue {
  const any: Any = fromBinary(AnySchema, anyBytes(resource.any));
  const schema: DescMessage | undefined = registry.getMessage(any.typeUrl.slice(any.typeUrl.lastIndexOf("/") + 1));
  const unreadable = { "@type": any.typeUrl, name: resource.name, bytes: Buffer.from(any.value).toString("base64") };
  if (schema === undefined) return unreadable;
  try {
    const json = toJson(schema, fromBinary(schema, any.value), { registry });
    return typeof json === "object" && json !== null && !Array.isArray(json) ? { "@type": any.typeUrl, ...json } : json;
  } catch {
    // An Any of a type without a descriptor here: its bytes still tell more than an error.
    return unreadable;
  }
}

async function loadRegistry(): Promise<Registry> {
  const modules: object[] = await Promise.all([
    import("#wire/gen/envoy/config/listener/v3/listener_pb.ts"),
    import("#wire/gen/envoy/config/route/v3/route_pb.ts"),
    import("#wire/gen/envoy/config/cluster/v3/cluster_pb.ts"),
    import("#wire/gen/envoy/config/endpoint/v3/endpoint_pb.ts"),
    import("#wire/gen/envoy/extensions/access_loggers/file/v3/file_pb.ts"),
    import("#wire/gen/envoy/extensions/filters/http/cors/v3/cors_pb.ts"),
    import("#wire/gen/envoy/extensions/filters/http/ext_authz/v3/ext_authz_pb.ts"),
    import("#wire/gen/envoy/extensions/filters/http/fault/v3/fault_pb.ts"),
    import("#wire/gen/envoy/extensions/filters/http/grpc_stats/v3/config_pb.ts"),
    import("#wire/gen/envoy/extensions/filters/http/jwt_authn/v3/config_pb.ts"),
    import("#wire/gen/envoy/extensions/filters/http/local_ratelimit/v3/local_rate_limit_pb.ts"),
    import("#wire/gen/envoy/extensions/filters/http/rbac/v3/rbac_pb.ts"),
    import("#wire/gen/envoy/extensions/filters/http/router/v3/router_pb.ts"),
    import("#wire/gen/envoy/extensions/filters/listener/http_inspector/v3/http_inspector_pb.ts"),
    import("#wire/gen/envoy/extensions/filters/listener/original_dst/v3/original_dst_pb.ts"),
    import("#wire/gen/envoy/extensions/filters/listener/original_src/v3/original_src_pb.ts"),
    import("#wire/gen/envoy/extensions/filters/listener/proxy_protocol/v3/proxy_protocol_pb.ts"),
    import("#wire/gen/envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector_pb.ts"),
    import("#wire/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts"),
    import("#wire/gen/envoy/extensions/filters/network/rbac/v3/rbac_pb.ts"),
    import("#wire/gen/envoy/extensions/filters/network/sni_cluster/v3/sni_cluster_pb.ts"),
    import("#wire/gen/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.ts"),
    import("#wire/gen/envoy/extensions/path/match/uri_template/v3/uri_template_match_pb.ts"),
    import("#wire/gen/envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer_pb.ts"),
    import("#wire/gen/envoy/extensions/transport_sockets/tls/v3/tls_pb.ts"),
    import("#wire/gen/envoy/extensions/upstreams/http/v3/http_protocol_options_pb.ts"),
    import("#wire/gen/istio/alpn-filter_pb.ts"),
    import("#wire/gen/istio/metadata-exchange_pb.ts"),
    import("#wire/gen/istio/peer-metadata_pb.ts"),
    import("#wire/gen/istio/stats-filter_pb.ts"),
  ]);
  return createRegistry(...modules.flatMap((module) => Object.values(module).filter(isFileDescriptor)));
}

function isFileDescriptor(value: unknown): value is DescFile {
  return typeof value === "object" && value !== null && "kind" in value && value.kind === "file";
}
