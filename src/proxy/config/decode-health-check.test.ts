import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeCluster } from "./decode-cluster.ts";
import type { HealthCheckConfig } from "./health-check.ts";
import { clusterConfig, clusterOf, endpointSet, refusalOf } from "./testing/resources.ts";

const base = "timeout: 1s, interval: 5s, unhealthy_threshold: 3, healthy_threshold: 2";
const cluster = (check: string): string => `{ name: c, type: STATIC, health_checks: [{ ${check} }] }`;
const decoded = (check: string): HealthCheckConfig => {
  const config = clusterConfig(cluster(check)).healthCheck;
  assert.ok(config);
  return config;
};
const refusal = (check: string): string => refusalOf(decodeCluster(clusterOf(cluster(check))));

test("an HTTP check has Envoy's defaults: GET, 200 only, the connection kept", () => {
  const config = decoded(`${base}, http_health_check: { path: /healthz }`);
  const { check } = config;
  assert.ok(check.type === "http");
  assert.deepEqual([check.method, check.path, check.host, check.responseBufferBytes], ["GET", "/healthz", "", 1024]);
  assert.deepEqual([199, 200, 201, 503].map(check.expects), [false, true, false, false]);
  assert.equal(check.retries(503), false);
  assert.equal(config.reusesConnection, true);
  assert.deepEqual([config.timeoutMs, config.unhealthyThreshold, config.healthyThreshold], [1000, 3, 2]);
});

test("states without an interval of their own have that of a more general one", () => {
  const plain = decoded(`${base}, tcp_health_check: {}`).intervals;
  assert.deepEqual(plain, {
    healthy: 5000,
    noTraffic: 60_000,
    noTrafficHealthy: 60_000,
    unhealthy: 5000,
    unhealthyEdge: 5000,
    healthyEdge: 5000,
  });
  const own = decoded(
    `${base}, tcp_health_check: {}, no_traffic_interval: 7s, unhealthy_interval: 9s, healthy_edge_interval: 2s`,
  ).intervals;
  assert.deepEqual(own, {
    healthy: 5000,
    noTraffic: 7000,
    noTrafficHealthy: 7000,
    unhealthy: 9000,
    unhealthyEdge: 9000,
    healthyEdge: 2000,
  });
});

test("everything of an HTTP check", () => {
  const { check, ...rest } = decoded(`${base}, initial_jitter: 1s, interval_jitter: 2s, interval_jitter_percent: 10,
    reuse_connection: false, always_log_health_check_failures: true, always_log_health_check_success: true,
    tls_options: { alpn_protocols: [a] }, transport_socket_match_criteria: { useMTLS: true },
    http_health_check: { path: /, host: h, method: HEAD, expected_statuses: [{ start: 200, end: 300 }],
      retriable_statuses: [{ start: 500, end: 501 }], receive: [{ text: "6f6B" }, { binary: AAE= }],
      response_buffer_size: 0, request_headers_to_add: [{ header: { key: X-A, value: b } }],
      request_headers_to_remove: [User-Agent], service_name_matcher: { prefix: loc } }`);
  assert.deepEqual(
    [rest.initialJitterMs, rest.intervalJitterMs, rest.intervalJitterPercent, rest.reusesConnection],
    [1000, 2000, 10, false],
  );
  assert.deepEqual([rest.alwaysLogsFailures, rest.alwaysLogsSuccess], [true, true]);
  assert.deepEqual([rest.alpnProtocols, rest.transportMatch], [["a"], { useMTLS: "true" }]);
  assert.ok(check.type === "http");
  assert.deepEqual([check.host, check.method, check.responseBufferBytes], ["h", "HEAD", 0]);
  assert.deepEqual([200, 299, 300].map(check.expects), [true, true, false]);
  assert.deepEqual([500, 501].map(check.retries), [true, false]);
  assert.deepEqual(check.receive, [Buffer.from("ok"), Buffer.from([0, 1])]);
  assert.deepEqual(check.headers, [["X-A", "b"]]);
  assert.deepEqual(check.removedHeaders, ["user-agent"]);
  assert.equal(check.serviceName?.matches("locations"), true);
});

test("a gRPC check names a service, an authority and metadata", () => {
  const { check } = decoded(`${base}, grpc_health_check: { service_name: cart, authority: a,
    initial_metadata: [{ header: { key: x, value: y } }] }`);
  assert.deepEqual(check, { type: "grpc", serviceName: "cart", authority: "a", headers: [["x", "y"]] });
});

test("two checks that say the same have the same shape", () => {
  const shape = (path: string): string => decoded(`${base}, http_health_check: { path: ${path} }`).shape;
  assert.equal(shape("/a"), shape("/a"));
  assert.notEqual(shape("/a"), shape("/b"));
});

test("what cannot be checked is refused with its place", () => {
  const rows: [string, RegExp][] = [
    ["timeout: 1s", /interval: is missing or 0.*unhealthy_threshold: is missing.*names no health checker/],
    [`${base}, http_health_check: {}`, /http_health_check.path: is missing/],
    [`${base}, http_health_check: { path: /, method: CONNECT }`, /CONNECT asks for no health/],
    [`${base}, http_health_check: { path: /, send: { text: "00" } }`, /send: a request body is not supported/],
    [`${base}, http_health_check: { path: /, expected_statuses: [{ start: 99, end: 200 }] }`, /99 to 200 is no range/],
    [`${base}, tcp_health_check: { send: { text: "0g" } }`, /send\[0\]: "0g" is not hexadecimal/],
    [`${base}, tcp_health_check: { proxy_protocol_config: {} }`, /PROXY protocol in a health check/],
    [`${base}, custom_health_check: { name: redis }`, /the health checker redis is not supported/],
    [
      `${base}, http_health_check: { path: /, request_headers_to_add: [{ header: { key: a, value: "%START_TIME%" } }] }`,
      /a command operator is not supported/,
    ],
  ];
  for (const [check, pattern] of rows) assert.match(refusal(check), pattern, check);
  const two = `{ name: c, type: STATIC, health_checks: [{ ${base}, tcp_health_check: {} }, { ${base}, tcp_health_check: {} }] }`;
  assert.match(refusalOf(decodeCluster(clusterOf(two))), /more than one health check/);
});

test("an endpoint may be asked at another place, or not at all", () => {
  const set = endpointSet(`
cluster_name: c
endpoints:
- lb_endpoints:
  - endpoint:
      address: { socket_address: { address: 10.0.0.1, port_value: 80 } }
      health_check_config: { port_value: 8080, hostname: h, address: { socket_address: { address: 10.0.0.2, port_value: 1 } } }
  - endpoint:
      address: { socket_address: { address: 10.0.0.3, port_value: 80 } }
      health_check_config: { disable_active_health_check: true }
`);
  assert.deepEqual(set.endpoints[0]?.healthCheck, { host: "10.0.0.2", port: 8080, hostname: "h", isDisabled: false });
  assert.equal(set.endpoints[1]?.healthCheck?.isDisabled, true);
});
