// Access log filters and expressions, decoded as a control plane sends them and asked about entries.
import assert from "node:assert/strict";
import { test } from "node:test";
import { fromJson, type JsonValue } from "@bufbuild/protobuf";
import { parse } from "yaml";
import { AccessLogSchema } from "#wire/gen/envoy/config/accesslog/v3/accesslog_pb.ts";
import { anyRegistry } from "../xds/any-registry.ts";
import type { AccessLogEntry } from "./access-log.ts";
import { decodeAccessLogs } from "./decode-access-log.ts";
import { Problems } from "./problems.ts";

const file =
  "name: file, typed_config: { '@type': type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: /dev/null";

function decode(rest: string) {
  const log = fromJson(AccessLogSchema, parse(`{ ${file} ${rest} }`) as JsonValue, { registry: anyRegistry() });
  const problems = new Problems("listener", "l");
  const { value, issues } = problems.done(decodeAccessLogs([log], "access_log", problems));
  const logger = value?.[0];
  const render = logger !== undefined && "render" in logger ? logger.render : undefined;
  return { logger, render, said: issues.map(({ message }) => message).join("; ") };
}

const details: Readonly<Record<string, string | number>> = {
  attempts: 2,
  connectionId: 7,
  grpcStatus: "14",
  mutualTls: 1,
  requestHeadersBytes: 100,
  responseHeadersBytes: 50,
  type: "DownstreamEnd",
};

function entry(change: Partial<AccessLogEntry> = {}): AccessLogEntry {
  const headers: Readonly<Record<string, string>> = {
    "x-log": "yes",
    "user-agent": "curl",
    "x-request-id": "00000005-0000-4000-8000-000000000000",
    ":scheme": "http",
  };
  return {
    startTimeMs: Date.parse("2026-01-02T03:04:05Z"),
    durationMs: 1500,
    method: "GET",
    originalPath: "/v1/cart?id=1",
    path: "/v1/cart?id=1",
    authority: "shop:8080",
    protocol: "HTTP/1.1",
    responseCode: 503,
    responseFlags: "UF,URX",
    responseCodeDetails: "upstream_reset",
    connectionTerminationDetails: undefined,
    upstreamTransportFailureReason: undefined,
    bytesReceived: 10,
    bytesSent: 20,
    upstreamHost: "10.0.0.9:9090",
    upstreamCluster: "outbound|8080||shop",
    upstreamLocalAddress: "10.0.0.1:1",
    downstreamLocalAddress: "10.0.0.2:8080",
    downstreamRemoteAddress: "[fd00::3]:4000",
    requestedServerName: "sni",
    routeName: "default",
    peerUriSan: "spiffe://td/ns/default/sa/web",
    localUriSan: undefined,
    requestHeader: (name) => headers[name],
    responseHeader: (name) => (name === "x-served" ? "a" : undefined),
    responseTrailer: () => undefined,
    metadata: (namespace) => (namespace === "envoy.filters.http.rbac" ? { shadow_engine_result: "denied" } : undefined),
    detail: (what) => details[what],
    environment: (name) => (name === "ZONE" ? "a" : undefined),
    cause: undefined,
    ...change,
  };
}

const cel = (expression: string): string =>
  `}, filter: { extension_filter: { name: envoy.access_loggers.extension_filters.cel, typed_config: { '@type': type.googleapis.com/envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter, expression: ${JSON.stringify(expression)} } } }`;

const expressions: readonly [expression: string, accepted: boolean][] = [
  ["response.code >= 400", true],
  ["response.code < 400", false],
  ["response.code_details == 'upstream_reset' && request.method == 'GET'", true],
  ["request.url_path == '/v1/cart' && request.query == 'id=1' && request.path.contains('?')", true],
  ["request.headers['X-Log'] == 'yes'", true],
  ["request.headers['absent'] == 'yes'", false],
  ["'x-log' in request.headers && !('absent' in request.headers)", true],
  ["has(request.useragent) && !has(request.referer)", true],
  ["has(request.headers.absent)", false],
  ["response.headers['x-served'] == 'a'", true],
  ["response.flags == 32800", true],
  ["response.grpc_status == 14", true],
  ["request.duration > duration('1s') && request.time < timestamp('2027-01-01T00:00:00Z')", true],
  ["request.total_size == 110 && response.total_size == 70", true],
  ["connection.mtls && connection.uri_san_peer_certificate.endsWith('/web')", true],
  ["source.port == 4000 && destination.port == 8080 && upstream.port == 9090", true],
  ["upstream.request_attempt_count > 1 && xds.cluster_name.startsWith('outbound')", true],
  ["request.path.matches('^/v[0-9]+/')", true],
  ["request.path.matches('^/x')", false],
  ["metadata.filter_metadata['envoy.filters.http.rbac'].shadow_engine_result == 'denied'", true],
  ["response.code", false],
];
for (const [expression, accepted] of expressions) {
  test(`a CEL filter: ${expression} is ${accepted}`, () => {
    const { logger, said } = decode(cel(expression));
    assert.equal(logger?.accepts?.(entry()), accepted, said);
    assert.equal(said, "");
  });
}

test("a CEL filter that cannot be read refuses the log; one that never holds is told", () => {
  const refused = decode(cel("response.code >="));
  assert.deepEqual([refused.logger, /is not valid/.test(refused.said)], [undefined, true]);
  const never: readonly [expression: string, said: RegExp][] = [
    ["nobody.knows == 1", /CEL attribute nobody\.knows .* left out/],
    ["request.path.matches(request.host)", /that is no constant.*it never holds/],
    ["request.path.matches('(')", /is not a regular expression.*it never holds/],
    ["1 + 'a' == 2", /is not valid: no such overload.*it never holds/],
  ];
  for (const [expression, said] of never) {
    const it = decode(cel(expression));
    assert.match(it.said, said);
    assert.equal(it.logger?.accepts?.(entry()), false, expression);
  }
  assert.match(decode(cel(`request.path == '${"a".repeat(5000)}'`)).said, /longer than 4096/);
  const unknown = decode(cel("xds.cluster_metadata.a == 'b'"));
  assert.match(unknown.said, /CEL attribute xds\.cluster_metadata.* left out/);
  assert.equal(unknown.logger?.accepts?.(entry()), false);
});

const filters: readonly [filter: string, accepted: boolean, change?: Partial<AccessLogEntry>][] = [
  ["status_code_filter: { comparison: { op: GE, value: { default_value: 500, runtime_key: k } } }", true],
  ["status_code_filter: { comparison: { op: EQ, value: { default_value: 500, runtime_key: k } } }", false],
  ["duration_filter: { comparison: { op: LE, value: { default_value: 1000, runtime_key: k } } }", false],
  ["response_flag_filter: { flags: [URX] }", true],
  ["response_flag_filter: {}", false, { responseFlags: "-" }],
  ["header_filter: { header: { name: x-log, string_match: { exact: 'yes' } } }", true],
  ["not_health_check_filter: {}", true],
  ["not_health_check_filter: {}", false, { detail: () => 1 }],
  ["grpc_status_filter: { statuses: [UNAVAILABLE] }", true],
  ["grpc_status_filter: { statuses: [UNAVAILABLE], exclude: true }", false],
  ["grpc_status_filter: { statuses: [UNAVAILABLE] }", true, { detail: () => undefined }],
  ["grpc_status_filter: { statuses: [PERMISSION_DENIED] }", true, { detail: () => undefined, responseCode: 403 }],
  ["log_type_filter: { types: [DownstreamEnd] }", true],
  ["log_type_filter: { types: [TcpConnectionEnd] }", false],
  ["log_type_filter: { types: [DownstreamEnd], exclude: true }", false],
  [
    "metadata_filter: { matcher: { filter: envoy.filters.http.rbac, path: [{ key: shadow_engine_result }], value: { string_match: { exact: denied } } } }",
    true,
  ],
  ["metadata_filter: { matcher: { filter: a, path: [{ key: b }], value: { string_match: { exact: c } } } }", true],
  [
    "metadata_filter: { matcher: { filter: a, path: [{ key: b }], value: { string_match: { exact: c } } }, match_if_key_not_found: false }",
    false,
  ],
  ["runtime_filter: { runtime_key: k, percent_sampled: { numerator: 6, denominator: TEN_THOUSAND } }", true],
  ["runtime_filter: { runtime_key: k, percent_sampled: { numerator: 5, denominator: TEN_THOUSAND } }", false],
  [
    "runtime_filter: { runtime_key: k, percent_sampled: { numerator: 50 }, use_independent_randomness: true }",
    false,
    { random: () => 0.5 },
  ],
  ["runtime_filter: { runtime_key: k, percent_sampled: { numerator: 0 } }", true, { share: () => 1 }],
  ["and_filter: { filters: [{ response_flag_filter: { flags: [UF] } }, { not_health_check_filter: {} }] }", true],
  [
    "or_filter: { filters: [{ response_flag_filter: { flags: [DC] } }, { response_flag_filter: { flags: [UH] } }] }",
    false,
  ],
];
for (const [filter, accepted, change] of filters) {
  test(`a filter: ${filter} ${accepted ? "accepts" : "refuses"}${change === undefined ? "" : ` ${Object.keys(change).join()}`}`, () => {
    const { logger, said } = decode(`}, filter: { ${filter} }`);
    assert.equal(logger?.accepts?.(entry(change)), accepted);
    assert.equal(said, "");
  });
}

test("a filter that nobody knows is left out with a warning", () => {
  const { logger, said } = decode(
    "}, filter: { extension_filter: { name: my.filter, typed_config: { '@type': type.googleapis.com/google.protobuf.StringValue, value: a } } }",
  );
  assert.equal(logger?.accepts, null);
  assert.match(said, /the access log filter my\.filter .* left out/);
});

test("%CEL()% and %ENVIRONMENT()% have values in formats", () => {
  const { render, said } = decode(
    ", log_format: { text_format_source: { inline_string: \"%CEL(request.headers['x-log'].startsWith('y'))% %CEL(response.code + 1):2% %CEL(request.headers['absent'])% %ENVIRONMENT(ZONE)% %ENVIRONMENT(NONE)%\\n\" } } }",
  );
  assert.equal(render?.(entry()), "true 50 - a -\n");
  assert.equal(said, "");
  const json = decode(
    ', log_format: { json_format: { code: "%CEL(response.code)%", path: "p=%CEL(request.url_path)%" } } }',
  );
  assert.equal(json.render?.(entry()), '{"code":"503","path":"p=/v1/cart"}\n');
  assert.match(decode(', log_format: { json_format: { code: "%CEL(response.)%" } } }').said, /is not valid/);
});
