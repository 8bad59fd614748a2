// Resources of a control plane, as bytes and as messages that nobody would write: decoding never throws, and what is
// refused says where and why.
import assert from "node:assert/strict";
import { clone, create, type DescMessage, fromJson, type JsonValue, type Message, toBinary } from "@bufbuild/protobuf";
import { AnySchema } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { parse } from "yaml";
import { Severity } from "#base/issue.ts";
import { nackText } from "#proxy/config/problems.ts";
import { anyRegistry } from "#proxy/xds/any-registry.ts";
import { brokenDecoder, decodeAny } from "#proxy/xds/decode-any.ts";
import { ClusterSchema } from "#wire/gen/envoy/config/cluster/v3/cluster_pb.ts";
import { ClusterLoadAssignmentSchema } from "#wire/gen/envoy/config/endpoint/v3/endpoint_pb.ts";
import { ListenerSchema } from "#wire/gen/envoy/config/listener/v3/listener_pb.ts";
import { RouteConfigurationSchema } from "#wire/gen/envoy/config/route/v3/route_pb.ts";
import { damaged } from "../bytes.ts";
import { type FuzzTarget, fuzzTarget } from "../fuzz-target.ts";
import { MessageMaker, randomOf } from "../random-message.ts";

const registry = anyRegistry();

function target(
  name: string,
  schema: DescMessage,
  nameOf: (message: Message) => string,
  decode: (typeof decodeAny)[keyof typeof decodeAny],
  yaml: string,
): FuzzTarget {
  const original = fromJson(schema, parse(yaml) as JsonValue, { registry });
  const typeUrl = `type.googleapis.com/${schema.typeName}`;
  const check = (value: Uint8Array, resource: string): void => {
    const decoded = decode(create(AnySchema, { typeUrl, value }), resource);
    const errors = decoded.issues.filter((issue) => issue.severity === Severity.Error);
    assert.equal(decoded.value === null, errors.length > 0);
    for (const issue of decoded.issues) {
      assert.ok(issue.message !== "" && issue.path !== undefined);
      assert.ok(!issue.message.startsWith(brokenDecoder), issue.message);
    }
    if (errors.length > 0) assert.ok(nackText(decoded.issues).length > 0);
  };
  const made = (seed: number): void => {
    const maker = new MessageMaker(randomOf(seed), registry);
    const message = maker.make(schema);
    check(toBinary(schema, message), nameOf(message));
  };
  const changed = (seed: number): void => {
    const random = randomOf(seed);
    const maker = new MessageMaker(random, registry);
    const message = clone(schema, original);
    for (let i = 0; i < 1 + random() * 4; i++) maker.change(schema, message);
    check(toBinary(schema, message), nameOf(message));
  };
  const bytes = damaged([Buffer.from(toBinary(schema, original))]);
  const input = fc.oneof(
    bytes.map((value) => ({ way: "bytes" as const, value, seed: 0 })),
    fc.nat(2 ** 31 - 1).map((seed) => ({ way: "made" as const, value: Buffer.alloc(0), seed })),
    fc.nat(2 ** 31 - 1).map((seed) => ({ way: "changed" as const, value: Buffer.alloc(0), seed })),
  );
  const property = fc.property(input, ({ way, value, seed }) => {
    if (way === "bytes") check(value, nameOf(original));
    else if (way === "made") made(seed);
    else changed(seed);
  });
  return fuzzTarget(name, property);
}

const type = (name: string): string => `"@type": type.googleapis.com/envoy.${name}`;

const listenerYaml = `
name: 0.0.0.0_80
address: { socket_address: { address: 0.0.0.0, port_value: 80 } }
traffic_direction: INBOUND
listener_filters:
- { name: tls, typed_config: { ${type("extensions.filters.listener.tls_inspector.v3.TlsInspector")} } }
- { name: http, typed_config: { ${type("extensions.filters.listener.http_inspector.v3.HttpInspector")} } }
access_log:
- name: file
  filter: { status_code_filter: { comparison: { op: GE, value: { default_value: 400, runtime_key: k } } } }
  typed_config: { ${type("extensions.access_loggers.file.v3.FileAccessLog")}, path: /dev/stdout, log_format: { text_format_source: { inline_string: "%REQ(:METHOD)% %RESPONSE_CODE%" } } }
filter_chains:
- name: tls
  filter_chain_match: { transport_protocol: tls, server_names: [a.example, "*.b"], application_protocols: [istio], prefix_ranges: [{ address_prefix: 10.0.0.0, prefix_len: 8 }] }
  transport_socket:
    name: tls
    typed_config:
      ${type("extensions.transport_sockets.tls.v3.DownstreamTlsContext")}
      require_client_certificate: true
      common_tls_context:
        alpn_protocols: [h2, http/1.1]
        tls_certificate_sds_secret_configs: [{ name: default, sds_config: { ads: {} } }]
        combined_validation_context:
          default_validation_context: { match_typed_subject_alt_names: [{ san_type: URI, matcher: { prefix: "spiffe://" } }] }
          validation_context_sds_secret_config: { name: ROOTCA, sds_config: { ads: {} } }
  filters:
  - name: rbac
    typed_config:
      ${type("extensions.filters.network.rbac.v3.RBAC")}
      stat_prefix: tcp
      rules: { policies: { p: { permissions: [{ destination_port: 80 }], principals: [{ any: true }] } } }
  - name: hcm
    typed_config:
      ${type("extensions.filters.network.http_connection_manager.v3.HttpConnectionManager")}
      stat_prefix: in
      normalize_path: true
      use_remote_address: true
      upgrade_configs: [{ upgrade_type: websocket }]
      local_reply_config: { mappers: [{ filter: { response_flag_filter: { flags: [NR] } }, status_code: 500, body: { inline_string: x } }] }
      common_http_protocol_options: { idle_timeout: 60s, max_stream_duration: 10s }
      route_config:
        name: r
        virtual_hosts:
        - name: v
          domains: ["*"]
          routes:
          - match: { safe_regex: { regex: "/a.*" }, headers: [{ name: x, string_match: { exact: y } }] }
            route: { cluster: c, timeout: 5s, retry_policy: { retry_on: 5xx, num_retries: 2 } }
          - { match: { prefix: / }, redirect: { host_redirect: b } }
      http_filters:
      - name: rbac
        typed_config:
          ${type("extensions.filters.http.rbac.v3.RBAC")}
          rules: { action: DENY, policies: { p: { permissions: [{ url_path: { path: { prefix: /admin } } }], principals: [{ not_id: { any: true } }] } } }
      - { name: router, typed_config: { ${type("extensions.filters.http.router.v3.Router")} } }
- name: tcp
  filter_chain_match: { destination_port: 9000 }
  filters:
  - { name: tcp, typed_config: { ${type("extensions.filters.network.tcp_proxy.v3.TcpProxy")}, stat_prefix: t, weighted_clusters: { clusters: [{ name: a, weight: 1 }] } } }
`;

const routeYaml = `
name: "80"
ignore_port_in_host_matching: true
virtual_hosts:
- name: a
  domains: [a, "*.b", "c.*"]
  include_request_attempt_count: true
  request_headers_to_add: [{ header: { key: x-a, value: "%REQ(:path)%" }, append_action: OVERWRITE_IF_EXISTS_OR_ADD }]
  routes:
  - name: first
    match: { path_separated_prefix: /p, query_parameters: [{ name: q, string_match: { exact: v } }], runtime_fraction: { default_value: { numerator: 50 } } }
    route:
      weighted_clusters: { clusters: [{ name: one, weight: 90 }, { name: two, weight: 10 }] }
      prefix_rewrite: /q
      hash_policy: [{ header: { header_name: x } }, { cookie: { name: c, ttl: 5s } }]
      retry_policy: { retry_on: "5xx,reset", num_retries: 3, per_try_timeout: 1s, retry_back_off: { base_interval: 0.025s } }
      request_mirror_policies: [{ cluster: m, runtime_fraction: { default_value: { numerator: 10 } } }]
      upgrade_configs: [{ upgrade_type: websocket }]
      max_stream_duration: { max_stream_duration: 5s }
  - { match: { connect_matcher: {} }, route: { cluster: c, upgrade_configs: [{ upgrade_type: CONNECT, connect_config: {} }] } }
  - { match: { path: /x }, redirect: { path_redirect: /y, response_code: FOUND, https_redirect: true } }
  - { match: { prefix: / }, direct_response: { status: 404, body: { inline_string: no } } }
`;

const clusterYaml = `
name: outbound|80||a
type: EDS
eds_cluster_config: { service_name: a, eds_config: { ads: {} } }
connect_timeout: 5s
lb_policy: RING_HASH
ring_hash_lb_config: { minimum_ring_size: 100 }
circuit_breakers: { thresholds: [{ max_connections: 10, max_retries: 3, retry_budget: { budget_percent: { value: 20 } } }] }
outlier_detection: { consecutive_5xx: 5, interval: 10s, base_ejection_time: 30s, max_ejection_percent: 10 }
health_checks: [{ timeout: 1s, interval: 5s, unhealthy_threshold: 2, healthy_threshold: 1, http_health_check: { path: /h } }]
common_lb_config: { locality_weighted_lb_config: {}, healthy_panic_threshold: { value: 50 } }
lb_subset_config: { fallback_policy: ANY_ENDPOINT, subset_selectors: [{ keys: [version] }] }
typed_extension_protocol_options:
  envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
    ${type("extensions.upstreams.http.v3.HttpProtocolOptions")}
    use_downstream_protocol_config: { http_protocol_options: {}, http2_protocol_options: {} }
transport_socket_matches:
- name: mtls
  match: { tlsMode: istio }
  transport_socket:
    name: tls
    typed_config:
      ${type("extensions.transport_sockets.tls.v3.UpstreamTlsContext")}
      sni: a
      common_tls_context: { tls_certificate_sds_secret_configs: [{ name: default, sds_config: { ads: {} } }] }
`;

const endpointYaml = `
cluster_name: a
policy: { overprovisioning_factor: 140, drop_overloads: [{ category: c, drop_percentage: { numerator: 5 } }] }
endpoints:
- locality: { region: r, zone: z }
  load_balancing_weight: 1
  priority: 1
  lb_endpoints:
  - endpoint: { address: { socket_address: { address: 10.0.0.1, port_value: 80 } }, hostname: h }
    health_status: DRAINING
    load_balancing_weight: 3
    metadata: { filter_metadata: { envoy.lb: { version: v1 }, istio: { workload: w } } }
`;

const named = (message: Message): string => (message as Message & { readonly name: string }).name;
const assigned = (message: Message): string => (message as Message & { readonly clusterName: string }).clusterName;

export const xdsListener: FuzzTarget = target("xds-listener", ListenerSchema, named, decodeAny.listener, listenerYaml);
export const xdsRoute: FuzzTarget = target("xds-route", RouteConfigurationSchema, named, decodeAny.route, routeYaml);
export const xdsCluster: FuzzTarget = target("xds-cluster", ClusterSchema, named, decodeAny.cluster, clusterYaml);
export const xdsEndpoint: FuzzTarget = target(
  "xds-endpoint",
  ClusterLoadAssignmentSchema,
  assigned,
  decodeAny.endpoint,
  endpointYaml,
);
