import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { AnySchema } from "@bufbuild/protobuf/wkt";
import { LoadBalancingPolicySchema } from "#wire/gen/envoy/config/cluster/v3/cluster_pb.ts";
import { defaultThresholds } from "./cluster.ts";
import { decodeCluster } from "./decode-cluster.ts";
import { decodeEndpoints } from "./decode-endpoints.ts";
import { clusterConfig, clusterOf, endpointSet, endpointsOf, refusalOf } from "./testing/resources.ts";

const tlsType = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3";

test("a cluster with mutual TLS by endpoint keeps both transports, the plain one last", () => {
  const cluster = clusterConfig(`
name: outbound|9080||reviews.default.svc.cluster.local
type: EDS
connect_timeout: 10s
lb_policy: LEAST_REQUEST
circuit_breakers: { thresholds: [{ max_connections: 4294967295, max_requests: 7 }] }
common_lb_config: { healthy_panic_threshold: {} }
metadata:
  filter_metadata:
    istio: { services: [{ host: reviews.default.svc.cluster.local, name: reviews, namespace: default }] }
    outrigger: { origins: [{ kind: Service, namespace: default, name: reviews, file: bookinfo.yaml, line: 3 }] }
transport_socket_matches:
- name: tlsMode-istio
  match: { tlsMode: istio }
  transport_socket:
    name: tls
    typed_config:
      "@type": ${tlsType}.UpstreamTlsContext
      sni: outbound_.9080_._.reviews
      common_tls_context:
        tls_params: { tls_maximum_protocol_version: TLSv1_3 }
        alpn_protocols: [istio-peer-exchange, istio]
        tls_certificate_sds_secret_configs: [{ name: default }]
        combined_validation_context:
          default_validation_context: { match_subject_alt_names: [{ exact: "spiffe://x" }] }
          validation_context_sds_secret_config: { name: ROOTCA }
- name: tlsMode-disabled
  match: {}
  transport_socket: { name: raw, typed_config: { "@type": type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer } }
typed_extension_protocol_options:
  envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
    "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
    explicit_http_config: { http2_protocol_options: {} }
    common_http_protocol_options: { idle_timeout: 5s, max_requests_per_connection: 9, max_stream_duration: 7s, max_headers_count: 20 }
`);
  assert.equal(cluster.type, "eds");
  assert.equal(cluster.connectTimeoutMs, 10_000);
  assert.equal(cluster.loadBalancing.policy.type, "least_request");
  assert.equal(cluster.upstreamProtocol, "http2");
  assert.equal(cluster.idleTimeoutMs, 5000);
  assert.equal(cluster.maxRequestsPerConnection, 9);
  assert.equal(cluster.maxStreamDurationMs, 7000);
  assert.equal(cluster.responseLimits.maxHeaders, 20);
  assert.equal(cluster.http2.settings.limits.maxHeaderCount, 20);
  assert.deepEqual(cluster.circuitBreakers, {
    default: { ...defaultThresholds, maxConnections: 4294967295, maxRequests: 7 },
    high: defaultThresholds,
  });
  assert.equal(cluster.loadBalancing.panicThresholdPercent, 0);
  assert.deepEqual(cluster.services, [
    { host: "reviews.default.svc.cluster.local", name: "reviews", namespace: "default" },
  ]);
  assert.equal(cluster.provenance.origins[0]?.line, 3);
  assert.deepEqual(
    cluster.transports.map((it) => [it.name, it.tls !== null]),
    [
      ["tlsMode-istio", true],
      ["tlsMode-disabled", false],
      ["default", false],
    ],
  );
  const tls = cluster.transports[0]?.tls;
  assert.deepEqual(
    [tls?.certificateName, tls?.validationName, tls?.minVersion, tls?.maxVersion],
    ["default", "ROOTCA", "TLSv1.2", "TLSv1.3"],
  );
  assert.equal(tls?.sanMatchers[0]?.matches("spiffe://x"), true);
  assert.equal(tls?.sanMatchers[0]?.matches("spiffe://y"), false);
});

const clusterRefusals: readonly [string, string, RegExp][] = [
  ["no name", "{ type: STATIC }", /name: is missing/],
  [
    "a Unix socket without an absolute path",
    "{ name: c, load_assignment: { cluster_name: c, endpoints: [{ lb_endpoints: [{ endpoint: { address: { pipe: { path: x } } } }] }] } }",
    /"x" is not an absolute path/,
  ],
  [
    "TLS names without roots",
    `{ name: c, transport_socket: { name: t, typed_config: { "@type": ${tlsType}.UpstreamTlsContext, common_tls_context: { validation_context: { match_subject_alt_names: [{ exact: a }] } } } } }`,
    /no roots/,
  ],
  [
    "an inline key",
    `{ name: c, transport_socket: { name: t, typed_config: { "@type": ${tlsType}.UpstreamTlsContext, common_tls_context: { tls_certificates: [{}] } } } }`,
    /neither given inline nor named by SDS/,
  ],
  [
    "a pin that is no hash",
    `{ name: c, transport_socket: { name: t, typed_config: { "@type": ${tlsType}.UpstreamTlsContext, common_tls_context: { combined_validation_context: { default_validation_context: { verify_certificate_hash: [aa] }, validation_context_sds_secret_config: { name: R } } } } } }`,
    /"aa" is not a SHA-256 in hexadecimal/,
  ],
  ["a custom cluster type", "{ name: c, cluster_type: { name: aggregate } }", /cluster type aggregate/],
];

for (const [name, yaml, reason] of clusterRefusals) {
  test(`a cluster is refused for ${name}`, () => assert.match(refusalOf(decodeCluster(clusterOf(yaml))), reason));
}

test("endpoints carry locality, priority, health, labels and workload; a repeated address counts once", () => {
  const set = endpointSet(`
cluster_name: c
endpoints:
- locality: { region: r, zone: z, sub_zone: s }
  priority: 1
  lb_endpoints:
  - endpoint: { hostname: web-0, address: { socket_address: { address: 10.0.0.1, port_value: 80 } } }
    load_balancing_weight: 3
    health_status: DRAINING
    metadata: { filter_metadata: { envoy.lb: { version: v1 }, envoy.transport_socket_match: { tlsMode: istio }, istio: { workload: "a;b;c;d;e" } } }
  - endpoint: { address: { socket_address: { address: "fd00::1", port_value: 80 } } }
- lb_endpoints:
  - endpoint: { address: { socket_address: { address: 10.0.0.1, port_value: 80 } } }
`);
  assert.equal(set.endpoints.length, 2);
  assert.deepEqual(set.endpoints[0], {
    key: "10.0.0.1:80",
    host: "10.0.0.1",
    port: 80,
    additionalAddresses: [],
    hostname: "web-0",
    weight: 3,
    priority: 1,
    locality: "r/z/s",
    health: "draining",
    healthCheck: null,
    metadata: { version: "v1" },
    transportMatch: { tlsMode: "istio" },
    workload: "a;b;c;d;e",
  });
  assert.equal(set.endpoints[1]?.key, "[fd00::1]:80");
  assert.match(refusalOf(decodeEndpoints(endpointsOf("{ endpoints: [] }"))), /cluster_name: is missing/);
});

test("where Envoy takes the server's name from the request, it is the host of the service, and verified", () => {
  const tlsFor = (host: string) =>
    clusterConfig(`
name: outbound|443||${host}
type: STRICT_DNS
metadata: { filter_metadata: { istio: { services: [{ host: "${host}", name: x, namespace: y }] } } }
transport_socket:
  name: tls
  typed_config:
    "@type": ${tlsType}.UpstreamTlsContext
    common_tls_context:
      combined_validation_context:
        default_validation_context: {}
        validation_context_sds_secret_config: { name: "file-root:system" }
typed_extension_protocol_options:
  envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
    "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
    upstream_http_protocol_options: { auto_sni: true, auto_san_validation: true }
    explicit_http_config: { http_protocol_options: {} }
`).transports.at(-1)?.tls;
  const accepts = (host: string, name: string): boolean | undefined => tlsFor(host)?.sanMatchers[0]?.matches(name);
  assert.equal(tlsFor("api.example.com")?.sni, "api.example.com");
  assert.equal(accepts("api.example.com", "api.example.com"), true);
  assert.equal(accepts("api.example.com", "*.example.com"), true);
  assert.equal(accepts("api.example.com", "*.com"), false);
  assert.equal(accepts("api.example.com", "other.example.com"), false);
  assert.equal(tlsFor("*.example.com")?.sni, "");
  assert.equal(accepts("*.example.com", "*.example.com"), true);
  assert.equal(accepts("*.example.com", "api.example.com"), true);
  assert.equal(accepts("*.example.com", "example.org"), false);
});

test("closing on failure and what is left out of a cluster", () => {
  const yaml = `
name: c
type: STATIC
close_connections_on_host_health_failure: true
preconnect_policy: { per_upstream_preconnect_ratio: 1.5 }
wait_for_warm_on_init: false
track_cluster_stats: { timeout_budgets: true }
filters: [{ name: istio.metadata_exchange }, { name: other }]
`;
  const cluster = clusterConfig(yaml);
  assert.equal(cluster.closesConnectionsOnFailure, true);
  assert.deepEqual(
    decodeCluster(clusterOf(yaml)).issues.map((it) => it.path),
    ["preconnect_policy", "track_cluster_stats", "wait_for_warm_on_init", "filters[1]"],
  );
});

test("CVE-2026-21710 an extension that is named like a property of every object is refused like any other", () => {
  for (const name of ["__proto__", "constructor", "hasOwnProperty"]) {
    const cluster = clusterOf(`
name: c
connect_timeout: 1s
type: STATIC
load_assignment: { cluster_name: c }
`);
    const any = create(AnySchema, { typeUrl: `type.googleapis.com/${name}` });
    cluster.loadBalancingPolicy = create(LoadBalancingPolicySchema, {
      policies: [{ typedExtensionConfig: { name: "x", typedConfig: any } }],
    });
    assert.match(refusalOf(decodeCluster(cluster)), new RegExp(`none of the policies ${name}`));
  }
});
