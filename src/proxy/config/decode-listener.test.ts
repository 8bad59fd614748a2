import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeListener } from "./decode-listener.ts";
import { standardRules } from "./metric-rules.ts";
import { httpWithRoutes, listenerConfig, listenerOf, refusalOf, tcpTo } from "./testing/resources.ts";

const tlsType = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3";

test("a listener's inspectors are off where their predicate says so", () => {
  const listener = listenerConfig(`
name: virtualInbound
traffic_direction: INBOUND
address: { socket_address: { address: 0.0.0.0, port_value: 15006 } }
listener_filters_timeout: 0s
continue_on_listener_filters_timeout: true
listener_filters:
- { name: od, typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.listener.original_dst.v3.OriginalDst } }
- name: tls
  filter_disabled: { or_match: { rules: [{ destination_port_range: { start: 80, end: 81 } }, { destination_port_range: { start: 90, end: 92 } }] } }
  typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector }
- name: http
  filter_disabled: { not_match: { destination_port_range: { start: 80, end: 81 } } }
  typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.listener.http_inspector.v3.HttpInspector }
filter_chains:
- filters: ${tcpTo("c")}`);
  assert.equal(listener.direction, 1);
  assert.equal(listener.originalDst, true);
  assert.equal(listener.listenerFiltersTimeoutMs, 0);
  assert.deepEqual(
    [80, 81, 90, 91, 92].map((port) => listener.tlsInspector?.disabledForPort(port)),
    [true, false, true, true, false],
  );
  assert.deepEqual(
    [80, 81].map((port) => listener.httpInspector?.disabledForPort(port)),
    [false, true],
  );
});

test("a TLS chain is read with its client verification", () => {
  const listener = listenerConfig(`
name: l
address: { socket_address: { address: 0.0.0.0, port_value: 1 } }
filter_chains:
- transport_socket:
    name: tls
    typed_config:
      "@type": ${tlsType}.DownstreamTlsContext
      require_client_certificate: true
      common_tls_context:
        tls_params: { tls_minimum_protocol_version: TLSv1_0, cipher_suites: [ECDHE-ECDSA-AES128-GCM-SHA256] }
        alpn_protocols: [h2, http/1.1]
        tls_certificate_sds_secret_configs: [{ name: default }]
        combined_validation_context:
          default_validation_context: { match_subject_alt_names: [{ prefix: "spiffe://cluster.local/" }] }
          validation_context_sds_secret_config: { name: ROOTCA }
  filters: ${tcpTo("c").replaceAll("\n", "\n  ")}`);
  const tls = listener.filterChains[0]?.tls;
  assert.equal(tls?.requireClientCertificate, true);
  assert.equal(tls?.minVersion, "TLSv1.2", "older versions are raised");
  assert.equal(tls?.maxVersion, "TLSv1.3");
  assert.equal(tls?.sanMatchers[0]?.matches("spiffe://cluster.local/ns/a/sa/b"), true);
});

const listenerShell = (chain: string, more = ""): string => `
name: l
address: { socket_address: { address: 0.0.0.0, port_value: 1 } }
${more}
filter_chains:
${chain}`;

const hcm = (filters: string): string =>
  `- filters:
  - name: h
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
      rds: { route_config_name: r, config_source: { ads: {} } }
      http_filters: ${filters}`;
const router =
  '{ name: router, typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router } }';

const listenerRefusals: readonly [string, string, RegExp][] = [
  [
    "no chain",
    "{ name: l, address: { socket_address: { address: 0.0.0.0, port_value: 1 } } }",
    /filter_chains: is empty/,
  ],
  ["a missing address", `{ name: l, filter_chains: [{ filters: ${JSON.stringify([])} }] }`, /address: is missing/],
  ["a chain without terminal filter", listenerShell("- filters: []"), /last network filter must be/],
  ["a router that is not last", listenerShell(hcm(`[${router}, ${router}]`)), /router must be the last/],
  ["no router", listenerShell(hcm("[]")), /last HTTP filter must be the router/],
  [
    "an unknown HTTP filter",
    listenerShell(hcm(`[{ name: x, typed_config: { "@type": ${tlsType}.Secret } }, ${router}]`)),
    /filter_chains\[0\]\.filters\[0\]\.http_filters\[0\]: the HTTP filter x/,
  ],
  [
    "a client certificate without roots",
    listenerShell(
      `- filters: ${tcpTo("c").replaceAll("\n", "\n  ")}\n  transport_socket: { name: t, typed_config: { "@type": ${tlsType}.DownstreamTlsContext, require_client_certificate: true, common_tls_context: { tls_certificate_sds_secret_configs: [{ name: d }] } } }`,
    ),
    /no roots to verify/,
  ],
  [
    "a wrong log format",
    listenerShell(
      `- filters: ${tcpTo("c")}`,
      'access_log: [{ name: f, typed_config: { "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: /dev/stdout, log_format: { text_format_source: { inline_string: "%NOPE%" } } } }]',
    ),
    /%NOPE% is not a known operator/,
  ],
  [
    "an address block that is none",
    listenerShell(
      `- filter_chain_match: { prefix_ranges: [{ address_prefix: ten, prefix_len: 8 }] }\n  filters: ${tcpTo("c").replaceAll("\n", "\n  ")}`,
    ),
    /"ten" is not an IP address/,
  ],
];

for (const [name, yaml, reason] of listenerRefusals) {
  test(`a listener is refused for ${name}`, () => assert.match(refusalOf(decodeListener(listenerOf(yaml))), reason));
}

test("filters decode to their entries, in order", () => {
  const listener = listenerConfig(
    listenerShell(
      hcm(`
      - { name: peer, typed_config: { "@type": type.googleapis.com/io.istio.http.peer_metadata.Config, upstream_propagation: [{ istio_headers: {} }] } }
      - { name: rbac, typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC } }
      - { name: fault, typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault } }
      - { name: cors, typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors } }
      - { name: stats, typed_config: { "@type": type.googleapis.com/stats.PluginConfig, disable_host_header_fallback: true } }
      - ${router}`),
    ),
  );
  const filter = listener.filterChains[0]?.filters[0];
  assert.equal(filter?.type, "http_connection_manager");
  if (filter?.http == null) return;
  const known = filter.http.httpFilters.filter(({ type }) => type !== "fault" && type !== "cors");
  assert.deepEqual(
    known.map(({ name, type, settings }) => ({ name, type, settings })),
    [
      { name: "peer", type: "peer_metadata", settings: { downstreamPropagation: false, upstreamPropagation: true } },
      {
        name: "rbac",
        type: "rbac",
        settings: {
          rules: null,
          shadowRules: null,
          rulesStatPrefix: "",
          shadowRulesStatPrefix: "",
          trackPerRuleStats: false,
        },
      },
      { name: "stats", type: "istio_stats", settings: { ...standardRules, usesHostHeader: false } },
      { name: "router", type: "router", settings: { suppressEnvoyHeaders: false } },
    ],
  );
  assert.equal(filter.http.routeConfigName, "r");
  assert.equal(filter.http.maxRequestHeadersBytes, 61_440);
  assert.equal(filter.http.streamIdleTimeoutMs, 300_000);
});

test("a listener keeps the name of the routes it asks for", () => {
  const listener = listenerConfig(listenerShell(`- filters: ${httpWithRoutes("9080")}`));
  const filter = listener.filterChains[0]?.filters[0];
  assert.equal(filter?.http?.routeConfigName, "9080");
});

test("escaped slashes are unescaped when asked for", () => {
  const listener = listenerConfig(`
name: l
address: { socket_address: { address: 0.0.0.0, port_value: 1 } }
filter_chains:
- filters:
  - name: hcm
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
      stat_prefix: l
      path_with_escaped_slashes_action: UNESCAPE_AND_FORWARD
      route_config: { name: r }
      http_filters:
      - { name: router, typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router } }
`);
  const filter = listener.filterChains[0]?.filters[0];
  assert.ok(filter?.http != null);
  assert.deepEqual(
    filter.http.httpFilters.map((it) => it.type),
    ["router"],
  );
  assert.equal(filter.http.paths.escapedSlashes, "forward");
});

test("a queue for fast open that is longer than an int is as long as an int", () => {
  const listener = listenerConfig(`
name: l
address: { socket_address: { address: 0.0.0.0, port_value: 1 } }
tcp_fast_open_queue_length: 4294967295
filter_chains:
- filters: ${tcpTo("c").replaceAll("\n", "\n  ")}
`);
  const option = listener.socketOptions.find((it) => it.description === "TCP_FASTOPEN");
  assert.equal(option?.value.readInt32LE(), 0x7fffffff);
});
