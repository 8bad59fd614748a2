// Each field of HttpConnectionManager: its default, its meaning, and what is said about the ones that are not served.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Severity } from "#base/issue.ts";
import type { AccessLogEntry } from "./access-log.ts";
import { decodeListener } from "./decode-listener.ts";
import type { HttpConnectionManagerConfig } from "./http.ts";
import { meshHttp2 } from "./http2.ts";
import { listenerOf, refusalOf } from "./testing/resources.ts";

const hcm = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
const at = (field: string): string => `filter_chains[0].filters[0].${field}`;

function decoded(fields: string): ReturnType<typeof decodeListener> {
  return decodeListener(
    listenerOf(`
name: l
address: { socket_address: { address: 0.0.0.0, port_value: 1 } }
filter_chains:
- filters:
  - name: hcm
    typed_config:
      "@type": ${hcm}
      stat_prefix: l
      route_config: { name: r }
      http_filters:
      - { name: router, typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router } }
${fields.replaceAll(/^/gm, "      ")}
`),
  );
}

function manager(fields: string): HttpConnectionManagerConfig {
  const result = decoded(fields);
  const filter = result.value?.filterChains[0]?.filters[0];
  assert.ok(filter?.http != null, refusalOf(result));
  return filter.http;
}

test("what is not said has Envoy's defaults", () => {
  const { httpFilters: _filters, routeConfig: _routes, ...config } = manager("");
  assert.deepEqual(config, {
    statPrefix: "l",
    routeConfigName: null,
    accessLog: [],
    tracing: null,
    client: {
      useRemoteAddress: false,
      xffTrustedHops: 0,
      skipXffAppend: false,
      appendXForwardedPort: false,
      mapsIpv4: false,
      internalRanges: null,
      detection: [],
    },
    forwardClientCert: "sanitize",
    clientCertDetails: { subject: false, uri: false, dns: false, cert: false },
    serverName: "envoy",
    serverHeader: "overwrite",
    via: "",
    addUserAgent: false,
    schemeOverwrite: null,
    generateRequestId: true,
    preserveExternalRequestId: false,
    alwaysSetRequestIdInResponse: false,
    paths: { normalize: false, mergeSlashes: false, escapedSlashes: "keep" },
    stripPort: "never",
    stripTrailingHostDot: false,
    headersWithUnderscores: "allow",
    proxies100Continue: false,
    upgradeTypes: [],
    codec: "auto",
    http2: meshHttp2,
    http1: {
      allowAbsoluteUrl: true,
      defaultHost: "",
      allowChunkedLength: false,
      properCaseNames: false,
      keepsOpenAfterInvalid: false,
    },
    localReply: null,
    idleTimeoutMs: 3_600_000,
    streamIdleTimeoutMs: 300_000,
    requestTimeoutMs: 0,
    requestHeadersTimeoutMs: 0,
    maxStreamDurationMs: 0,
    maxConnectionDurationMs: 0,
    maxRequestsPerConnection: 0,
    drainTimeoutMs: 5000,
    delayedCloseTimeoutMs: 1000,
    maxRequestHeadersBytes: 60 * 1024,
    maxRequestHeadersCount: 100,
  } satisfies Omit<HttpConnectionManagerConfig, "httpFilters" | "routeConfig">);
});

test("what is said is taken", () => {
  const config = manager(`
use_remote_address: true
xff_num_trusted_hops: 2
skip_xff_append: true
append_x_forwarded_port: true
represent_ipv4_remote_address_as_ipv4_mapped_ipv6: true
internal_address_config: { cidr_ranges: [{ address_prefix: 10.0.0.0, prefix_len: 8 }] }
via: 1.1 mesh
add_user_agent: true
scheme_header_transformation: { scheme_to_overwrite: https }
generate_request_id: false
preserve_external_request_id: true
always_set_request_id_in_response: true
normalize_path: true
merge_slashes: true
path_with_escaped_slashes_action: UNESCAPE_AND_REDIRECT
strip_matching_host_port: true
strip_trailing_host_dot: true
proxy_100_continue: true
upgrade_configs: [{ upgrade_type: WebSocket }, { upgrade_type: other, enabled: false }]
stream_error_on_invalid_http_message: true
max_request_headers_kb: 8
delayed_close_timeout: 3s
request_headers_timeout: 4s
request_timeout: 5s
stream_idle_timeout: 6s
http_protocol_options:
  allow_absolute_url: false
  accept_http_10: true
  default_host_for_http_10: old.example
  allow_chunked_length: true
  enable_trailers: true
  override_stream_error_on_invalid_http_message: false
  header_key_format: { proper_case_words: {} }
common_http_protocol_options:
  idle_timeout: 7s
  max_connection_duration: 8s
  max_stream_duration: 9s
  max_headers_count: 10
  max_requests_per_connection: 11
  headers_with_underscores_action: REJECT_REQUEST`);
  assert.equal(config.client.internalRanges?.contains("10.1.2.3"), true);
  assert.equal(config.client.internalRanges?.contains("11.1.2.3"), false);
  const { internalRanges: _ranges, ...client } = config.client;
  assert.deepEqual(client, {
    useRemoteAddress: true,
    xffTrustedHops: 2,
    skipXffAppend: true,
    appendXForwardedPort: true,
    mapsIpv4: true,
    detection: [],
  });
  assert.deepEqual(config.paths, { normalize: true, mergeSlashes: true, escapedSlashes: "redirect" });
  assert.deepEqual(config.http1, {
    allowAbsoluteUrl: false,
    defaultHost: "old.example",
    allowChunkedLength: true,
    properCaseNames: true,
    // The option of HTTP/1 overrides the one of the manager.
    keepsOpenAfterInvalid: false,
  });
  assert.deepEqual(
    [config.via, config.addUserAgent, config.schemeOverwrite, config.stripPort, config.stripTrailingHostDot],
    ["1.1 mesh", true, "https", "matching", true],
  );
  assert.deepEqual(
    [config.generateRequestId, config.preserveExternalRequestId, config.alwaysSetRequestIdInResponse],
    [false, true, true],
  );
  assert.deepEqual([config.proxies100Continue, config.upgradeTypes], [true, ["websocket"]]);
  assert.deepEqual([config.headersWithUnderscores, config.maxRequestHeadersCount], ["reject", 10]);
  assert.deepEqual([config.maxRequestHeadersBytes, config.maxRequestsPerConnection], [8192, 11]);
  assert.deepEqual(
    [
      config.delayedCloseTimeoutMs,
      config.requestHeadersTimeoutMs,
      config.requestTimeoutMs,
      config.streamIdleTimeoutMs,
      config.idleTimeoutMs,
      config.maxConnectionDurationMs,
      config.maxStreamDurationMs,
    ],
    [3000, 4000, 5000, 6000, 7000, 8000, 9000],
  );
});

test("the client's address can be told by extensions, in their order", () => {
  const prefix = "type.googleapis.com/envoy.extensions.http.original_ip_detection";
  const { client } = manager(`
original_ip_detection_extensions:
- name: header
  typed_config:
    "@type": ${prefix}.custom_header.v3.CustomHeaderConfig
    header_name: X-Real-IP
    allow_extension_to_set_address_as_trusted: true
    reject_with_status: { code: Unauthorized }
- { name: xff, typed_config: { "@type": ${prefix}.xff.v3.XffConfig, xff_num_trusted_hops: 1 } }`);
  const [byHeader, byXff] = client.detection;
  const header = (values: Record<string, string>) => (name: string) => values[name];
  assert.deepEqual(byHeader?.(header({ "x-real-ip": "1.2.3.4" })), { ip: "1.2.3.4", isTrusted: true });
  assert.equal(byHeader?.(header({ "x-real-ip": "nobody" })), 401);
  assert.deepEqual(byXff?.(header({ "x-forwarded-for": "1.1.1.1, 2.2.2.2, 3.3.3.3" })), {
    ip: "2.2.2.2",
    isTrusted: false,
  });
  assert.equal(byXff?.(header({ "x-forwarded-for": "3.3.3.3" })), null);
});

test("a local reply configuration has mappers and formats", () => {
  const { localReply } = manager(`
local_reply_config:
  mappers:
  - filter: { status_code_filter: { comparison: { op: GE, value: { default_value: 500, runtime_key: k } } } }
    status_code: 599
    body: { inline_string: sorry }
    headers_to_add: [{ header: { key: x-mapped, value: "yes" } }]
    body_format_override: { text_format_source: { inline_string: "<%LOCAL_REPLY_BODY%>" }, content_type: text/html }
  body_format: { json_format: { body: "%LOCAL_REPLY_BODY%", code: "%RESPONSE_CODE%" } }`);
  const [mapper] = localReply?.mappers ?? [];
  const entry = { responseCode: 503, localReplyBody: "b" } as AccessLogEntry;
  assert.equal(mapper?.accepts(entry), true);
  assert.equal(mapper?.accepts({ ...entry, responseCode: 404 }), false);
  assert.equal(mapper?.status, 599);
  assert.equal(mapper?.body, "sorry");
  assert.deepEqual(mapper?.headers, [{ name: "x-mapped", operation: "append", value: "yes" }]);
  assert.equal(mapper?.format?.contentType, "text/html");
  assert.equal(mapper?.format?.render(entry), "<b>");
  assert.equal(localReply?.format?.contentType, "application/json");
  assert.equal(localReply?.format?.render(entry), '{"body":"b","code":503}\n');
});

const refused: readonly (readonly [string, string])[] = [
  ["codec_type: HTTP3", at("codec_type: HTTP/3 is not supported by this proxy")],
  ["early_header_mutation_extensions: [{ name: a }]", at("early_header_mutation_extensions: changing headers before")],
  ["original_ip_detection_extensions: [{ name: a }]", at("original_ip_detection_extensions[0]: the client address")],
  [
    "use_remote_address: true\noriginal_ip_detection_extensions: [{ name: a }]",
    at("original_ip_detection_extensions: cannot stand beside use_remote_address"),
  ],
  ["upgrade_configs: [{ upgrade_type: a, filters: [{ name: b }] }]", at("upgrade_configs[0].filters: a filter chain")],
  ["upgrade_configs: [{}]", at("upgrade_configs[0].upgrade_type: is missing")],
  ["strip_matching_host_port: true\nstrip_any_host_port: true", at("strip_matching_host_port: cannot stand beside")],
  ["max_request_headers_kb: 9000", at("max_request_headers_kb: 9000 is not between 1 and 8192")],
  ['via: "a\\nb"', at("via: holds a character that a header value may not have")],
  [
    "scheme_header_transformation: { scheme_to_overwrite: ftp }",
    at("scheme_header_transformation.scheme_to_overwrite"),
  ],
  [
    `request_id_extension: { typed_config: { "@type": type.googleapis.com/google.protobuf.StringValue, value: a } }`,
    at("request_id_extension: a request id that is not a UUID is not supported"),
  ],
  [
    "local_reply_config: { mappers: [{ filter: { extension_filter: { name: mine } } }] }",
    at("local_reply_config.mappers[0].filter.extension_filter: the access log filter mine is not supported"),
  ],
  ["local_reply_config: { mappers: [{}] }", at("local_reply_config.mappers[0].filter: is missing")],
  [
    "local_reply_config: { mappers: [{ filter: { duration_filter: {} }, status_code: 100 }] }",
    at("local_reply_config.mappers[0].status_code: 100 is not the status of a response"),
  ],
  [
    "local_reply_config: { body_format: { text_format: '%NOT_THERE%' } }",
    at("local_reply_config.body_format: %NOT_THERE% is not a known operator"),
  ],
];

for (const [fields, reason] of refused) {
  test(`${fields.replaceAll("\n", ", ")} is refused by name`, () => {
    const refusal = refusalOf(decoded(fields));
    assert.ok(refusal.includes(reason), refusal);
  });
}

const leftOut: readonly (readonly [string, string])[] = [
  [
    'tracing: { provider: { name: envoy.tracers.datadog, typed_config: { "@type": type.googleapis.com/envoy.config.trace.v3.DatadogConfig, collector_cluster: a, service_name: b } } }',
    at("tracing.provider"),
  ],
  ["proxy_status_config: {}", at("proxy_status_config")],
  ["typed_header_validation_config: { name: a }", at("typed_header_validation_config")],
  ["path_normalization_options: {}", at("path_normalization_options")],
  ["append_local_overload: true", at("append_local_overload")],
  ["access_log_flush_interval: 5s", at("access_log_flush_interval")],
  ["flush_access_log_on_new_request: true", at("flush_access_log_on_new_request")],
  ["access_log_options: {}", at("access_log_options")],
  ["internal_address_config: { unix_sockets: true }", at("internal_address_config.unix_sockets")],
  ["set_current_client_cert_details: { chain: true }", at("set_current_client_cert_details.chain")],
  ["scheme_header_transformation: { match_upstream: true }", at("scheme_header_transformation.match_upstream")],
  [
    "http_protocol_options: { header_key_format: { stateful_formatter: { name: a } } }",
    at("http_protocol_options.header_key_format.stateful_formatter"),
  ],
];

for (const [fields, path] of leftOut) {
  test(`${fields} is left out with a warning, and the listener is served`, () => {
    const { value, issues } = decoded(fields);
    assert.notEqual(value, null);
    assert.deepEqual(
      issues.map((issue) => [issue.severity, issue.path]),
      [[Severity.Warning, path]],
    );
  });
}

test("the preserving formatter and the UUID request id are what is done anyway", () => {
  const { value, issues } = decoded(`
request_id_extension:
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig
    pack_trace_reason: false
http_protocol_options:
  header_key_format:
    stateful_formatter:
      name: preserve_case
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig`);
  assert.notEqual(value, null);
  assert.deepEqual(issues, []);
});
