// Spans on the wire: requests through a listener, and what independent collectors hear of them.
import assert from "node:assert/strict";
import type { IncomingHttpHeaders } from "node:http";
import { type TestContext, test } from "node:test";
import { create, fromBinary, fromJson, type JsonValue, toBinary } from "@bufbuild/protobuf";
import type { MethodDefinition } from "@grpc/grpc-js";
import { parse } from "yaml";
import { systemClock } from "#base/time/clock.ts";
import { HttpConnectionManagerSchema } from "#wire/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts";
import {
  type ExportTraceServiceRequest,
  ExportTraceServiceRequestSchema,
  type ExportTraceServiceResponse,
  ExportTraceServiceResponseSchema,
} from "#wire/gen/opentelemetry/proto/collector/trace/v1/trace_service_pb.ts";
import type { KeyValue } from "#wire/gen/opentelemetry/proto/common/v1/common_pb.ts";
import {
  Span_SpanKind as Kind,
  type Span,
  Status_StatusCode,
} from "#wire/gen/opentelemetry/proto/trace/v1/trace_pb.ts";
import { decodeTracing } from "../../config/decode-tracing.ts";
import { RetryOn } from "../../config/http.ts";
import { nackText, Problems } from "../../config/problems.ts";
import type { TracingConfig } from "../../config/tracing.ts";
import {
  chain,
  clusterOn,
  dataPath,
  forward,
  httpFilter,
  httpServer,
  listenerConfig,
  managerConfig,
  retryPolicy,
  routeEntry,
} from "../../listener/testing/data-path.ts";
import { grpcServer } from "../../listener/testing/grpc-server.ts";
import { ask, until } from "../../listener/testing/requests.ts";
import { Stats } from "../../stats/stats.ts";
import { anyRegistry } from "../../xds/any-registry.ts";

const types = "type.googleapis.com/envoy.config.trace.v3";
const otel = `{ name: envoy.tracers.opentelemetry, typed_config: { "@type": ${types}.OpenTelemetryConfig, service_name: shop.default, grpc_service: { envoy_grpc: { cluster_name: collector, authority: otel.example }, initial_metadata: [{ key: x-token, value: t }] } } }`;
const otelHttp = `{ name: envoy.tracers.opentelemetry, typed_config: { "@type": ${types}.OpenTelemetryConfig, resource_detectors: [{ name: env, typed_config: { "@type": type.googleapis.com/envoy.extensions.tracers.opentelemetry.resource_detectors.v3.EnvironmentResourceDetectorConfig } }], http_service: { http_uri: { uri: otel.example/v1/traces, cluster: collector, timeout: 1s }, request_headers_to_add: [{ header: { key: x-token, value: t } }] } } }`;
const zipkin = `{ name: envoy.tracers.zipkin, typed_config: { "@type": ${types}.ZipkinConfig, trace_id_128bit: true, shared_span_context: false, collector_endpoint_version: HTTP_JSON, trace_context_option: USE_B3_WITH_W3C_PROPAGATION, collector_service: { http_uri: { uri: "http://zipkin.example/api/v2/spans", cluster: collector, timeout: 1s } } } }`;

function tracingOf(fields: string): TracingConfig {
  const manager = fromJson(
    HttpConnectionManagerSchema,
    { tracing: parse(`{ ${fields} }`) as JsonValue },
    {
      registry: anyRegistry(),
    },
  );
  const problems = new Problems("listener", "l");
  const { value, issues } = problems.done(decodeTracing(manager, "", problems));
  if (value === null) throw new Error(nackText(issues));
  return value;
}

const exportTraces: MethodDefinition<ExportTraceServiceRequest, ExportTraceServiceResponse> = {
  path: "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
  requestStream: false,
  responseStream: false,
  requestSerialize: (value) => Buffer.from(toBinary(ExportTraceServiceRequestSchema, value)),
  requestDeserialize: (bytes) => fromBinary(ExportTraceServiceRequestSchema, bytes),
  responseSerialize: (value) => Buffer.from(toBinary(ExportTraceServiceResponseSchema, value)),
  responseDeserialize: (bytes) => fromBinary(ExportTraceServiceResponseSchema, bytes),
};

interface Bench {
  readonly path: ReturnType<typeof dataPath>;
  /** What the application saw. */
  readonly served: IncomingHttpHeaders[];
  stat(name: string): number;
}

interface BenchOptions {
  readonly tracing: string;
  /** 1: to the workload, 2: from it. */
  readonly direction?: 1 | 2;
  readonly collectorPort?: number;
  readonly collectorProtocol?: "http1" | "http2";
  readonly statuses?: number[];
  readonly numRetries?: number;
}

/** A proxy whose collector is asked soon: its interval of five seconds passes at once. */
async function bench(t: TestContext, options: BenchOptions): Promise<Bench> {
  const { direction = 2, statuses = [], numRetries = 0 } = options;
  const served: IncomingHttpHeaders[] = [];
  const app = await httpServer((request, response) => {
    served.push(request.headers);
    response.statusCode = statuses.shift() ?? 200;
    response.end("hello");
  });
  const stats = new Stats();
  const path = dataPath({
    stats,
    clock: { now: systemClock.now, after: (ms, callback) => systemClock.after(ms === 5000 ? 10 : ms, callback) },
    node: { id: "sidecar~10.0.0.7~shop-1.default~default.svc.cluster.local", cluster: "shop.default", zone: "z1" },
    hostEnvironment: { OTEL_RESOURCE_ATTRIBUTES: "k8s.pod.name=shop-1,bad", ZONE: "blue" },
  });
  path.clusters.update(clusterOn("app", [app.port]));
  if (options.collectorPort !== undefined) {
    path.clusters.update(
      clusterOn("collector", [options.collectorPort], { upstreamProtocol: options.collectorProtocol ?? "http1" }),
    );
  }
  const retry = numRetries === 0 ? null : retryPolicy({ numRetries, retryOn: RetryOn.FiveXx });
  const manager = managerConfig(
    [routeEntry("/", forward("app", { retry }), { decorator: "app.default.svc.cluster.local:80/*" })],
    { tracing: tracingOf(options.tracing) },
  );
  await path.listeners.update(listenerConfig([chain([httpFilter(manager)])], { direction }));
  t.after(() => {
    path.stop();
    app.stop();
  });
  const stat = (name: string): number => stats.values().find((it) => it.name === name)?.value ?? 0;
  return { path, served, stat };
}

async function otelCollector(t: TestContext) {
  const exports: ExportTraceServiceRequest[] = [];
  const tokens: unknown[] = [];
  const server = await grpcServer(exportTraces, (request, call) => {
    exports.push(request);
    tokens.push(...call.metadata.get("x-token"));
    return create(ExportTraceServiceResponseSchema);
  });
  t.after(() => server.stop());
  const spans = (): Span[] =>
    exports.flatMap((it) => it.resourceSpans.flatMap((of) => of.scopeSpans)).flatMap((of) => of.spans);
  return { exports, tokens, spans, port: server.port };
}

interface ZipkinSpan {
  readonly traceId: string;
  readonly id: string;
  readonly parentId?: string;
  readonly name: string;
  readonly kind: string;
  readonly timestamp: number;
  readonly duration: number;
  readonly localEndpoint: Readonly<Record<string, string>>;
  readonly tags: Readonly<Record<string, string>>;
}

async function httpCollector(t: TestContext, status = 202) {
  const requests: { readonly url: string; readonly headers: IncomingHttpHeaders; readonly body: Buffer }[] = [];
  const server = await httpServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      requests.push({ url: request.url ?? "", headers: request.headers, body: Buffer.concat(chunks) });
      response.writeHead(status).end();
    });
  });
  t.after(() => server.stop());
  const zipkinSpans = (): ZipkinSpan[] => requests.flatMap(({ body }) => JSON.parse(body.toString()) as ZipkinSpan[]);
  return { requests, zipkinSpans, port: server.port };
}

function attributes(list: readonly KeyValue[]): Record<string, unknown> {
  return Object.fromEntries(list.map(({ key, value }) => [key, value?.value.value]));
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

test("a request that leaves the workload is a client's span, of which the server is told", async (t) => {
  const collector = await otelCollector(t);
  const it = await bench(t, {
    tracing: `provider: ${otel}, custom_tags: [{ tag: team, literal: { value: red } }, { tag: zone.name, environment: { name: ZONE } }, { tag: tenant, request_header: { name: x-tenant, default_value: none } }, { tag: what, value: "%PROTOCOL% %REQ(absent)%" }, { tag: nothing, environment: { name: NONE } }]`,
    collectorPort: collector.port,
    collectorProtocol: "http2",
  });
  const headers = { host: "app:80", "user-agent": "test", "x-tenant": "acme" };
  assert.equal((await ask(it.path, "/cart?id=1", { headers })).status, 200);
  await until(() => collector.spans().length > 0);
  const [span] = collector.spans();
  assert.ok(span !== undefined);
  assert.equal(span.kind, Kind.CLIENT);
  assert.equal(span.name, "app.default.svc.cluster.local:80/*");
  assert.equal(span.parentSpanId.length, 0);
  assert.ok(span.endTimeUnixNano >= span.startTimeUnixNano);
  assert.equal(span.status?.code, Status_StatusCode.UNSET);
  const [sent] = it.served;
  assert.equal(sent?.["traceparent"], `00-${hex(span.traceId)}-${hex(span.spanId)}-01`);
  assert.equal(sent?.["x-envoy-decorator-operation"], "app.default.svc.cluster.local:80/*");
  const { "guid:x-request-id": id, upstream_address: address, ...tags } = attributes(span.attributes);
  assert.equal(id, sent?.["x-request-id"]);
  assert.match(String(address), /^127\.0\.0\.1:\d+$/);
  assert.deepEqual(tags, {
    component: "proxy",
    node_id: "sidecar~10.0.0.7~shop-1.default~default.svc.cluster.local",
    zone: "z1",
    "http.url": "http://app:80/cart?id=1",
    "http.method": "GET",
    "http.protocol": "HTTP/1.1",
    "http.status_code": "200",
    downstream_cluster: "-",
    user_agent: "test",
    "peer.address": "127.0.0.1",
    request_size: "0",
    response_size: "5",
    response_flags: "-",
    upstream_cluster: "app",
    "upstream_cluster.name": "app",
    team: "red",
    "zone.name": "blue",
    tenant: "acme",
    what: "HTTP/1.1 ",
  });
  assert.deepEqual(collector.tokens, ["t"]);
  assert.deepEqual(attributes(collector.exports[0]?.resourceSpans[0]?.resource?.attributes ?? []), {
    "service.name": "shop.default",
    "telemetry.sdk.language": "nodejs",
    "telemetry.sdk.name": "outrigger",
  });
});

test("a request to the workload goes on in the client's trace, under the name that the client's proxy gave", async (t) => {
  const collector = await otelCollector(t);
  const it = await bench(t, {
    tracing: `provider: ${otel}, max_path_tag_length: 4`,
    direction: 1,
    collectorPort: collector.port,
    collectorProtocol: "http2",
    statuses: [503],
  });
  const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  await ask(it.path, "/long", {
    headers: { host: "a", traceparent: parent, tracestate: "k=v", "x-envoy-decorator-operation": "named" },
  });
  await until(() => collector.spans().length > 0);
  const [span] = collector.spans();
  assert.ok(span !== undefined);
  assert.equal(span.kind, Kind.SERVER);
  assert.deepEqual(
    [hex(span.traceId), hex(span.parentSpanId), span.traceState],
    ["0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "k=v"],
  );
  assert.equal(span.name, "named");
  assert.equal(span.status?.code, Status_StatusCode.ERROR);
  assert.partialDeepStrictEqual(attributes(span.attributes), {
    "http.url": "http://a/lon",
    "http.status_code": "503",
    error: "true",
  });
  assert.equal(it.served[0]?.["x-envoy-decorator-operation"], undefined);
  assert.match(String(it.served[0]?.["traceparent"]), /^00-0af7651916cd43dd8448eb211c80319c-(?!b7ad)[\da-f]{16}-01$/);
});

test("who is not sampled is told so and not reported; who asks for it is, and the request's id says why", async (t) => {
  const collector = await otelCollector(t);
  const it = await bench(t, {
    tracing: `provider: ${otel}, random_sampling: { value: 0 }`,
    collectorPort: collector.port,
    collectorProtocol: "http2",
  });
  await ask(it.path, "/quiet");
  assert.match(String(it.served[0]?.["traceparent"]), /-00$/);
  await ask(it.path, "/forced", { headers: { "x-envoy-force-trace": "1" } });
  await ask(it.path, "/client", { headers: { "x-client-trace-id": "mine" } });
  await until(() => collector.spans().length > 1);
  const spans = collector.spans();
  const urls = spans.map(({ attributes: list }) => String(attributes(list)["http.url"]).replace(/.*\//, ""));
  assert.deepEqual(urls.sort(), ["client", "forced"]);
  assert.deepEqual(
    it.served.map((headers) => String(headers["x-request-id"])[14]),
    ["4", "a", "b"],
  );
  assert.deepEqual(
    ["not_traceable", "service_forced", "client_enabled", "random_sampling"].map((it_) =>
      it.stat(`http.test.tracing.${it_}`),
    ),
    [1, 1, 1, 0],
  );
});

test("a sampled client's word is worth more than our own draw, and a request without a span is served", async (t) => {
  const collector = await otelCollector(t);
  const it = await bench(t, {
    tracing: `provider: ${otel}`,
    collectorPort: collector.port,
    collectorProtocol: "http2",
  });
  const unsampled = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
  await ask(it.path, "/unsampled", { headers: { traceparent: unsampled } });
  assert.equal((await ask(it.path, "/broken", { headers: { traceparent: "00-zz" } })).status, 200);
  await ask(it.path, "/own");
  await until(() => collector.spans().length > 0);
  const spans = collector.spans();
  assert.deepEqual(
    spans.map(({ attributes: list }) => String(attributes(list)["http.url"]).replace(/.*\//, "")),
    ["own"],
  );
  assert.equal(it.served[1]?.["traceparent"], "00-zz");
});

test("attempts have spans of their own, where that is asked for", async (t) => {
  const collector = await otelCollector(t);
  const it = await bench(t, {
    tracing: `provider: ${otel}, spawn_upstream_span: true`,
    collectorPort: collector.port,
    collectorProtocol: "http2",
    statuses: [503, 200],
    numRetries: 2,
  });
  assert.equal((await ask(it.path, "/")).status, 200);
  await until(() => collector.spans().length > 2);
  const spans = collector.spans();
  const request = spans.find(({ kind }) => kind === Kind.SERVER);
  const attempts = spans.filter(({ kind }) => kind === Kind.CLIENT);
  assert.ok(request !== undefined);
  assert.deepEqual(
    attempts.map(({ name, parentSpanId }) => [name, hex(parentSpanId)]),
    Array.from({ length: 2 }, () => ["router app egress", hex(request.spanId)]),
  );
  assert.deepEqual(
    attempts.map(({ attributes: list }) => [attributes(list)["http.status_code"], attributes(list)["retry.count"]]),
    [
      ["503", undefined],
      ["200", "1"],
    ],
  );
  assert.deepEqual(
    it.served.map((headers) => String(headers["traceparent"]).split("-")[2]),
    attempts.map(({ spanId }) => hex(spanId)),
  );
});

test("OTLP over HTTP has its path and headers, and the environment says more of the resource", async (t) => {
  const collector = await httpCollector(t, 200);
  const it = await bench(t, { tracing: `provider: ${otelHttp}`, collectorPort: collector.port });
  await ask(it.path, "/");
  await until(() => collector.requests.length > 0);
  const [request] = collector.requests;
  assert.deepEqual(
    [request?.url, request?.headers.host, request?.headers["content-type"], request?.headers["x-token"]],
    ["/v1/traces", "otel.example", "application/x-protobuf", "t"],
  );
  const message = fromBinary(ExportTraceServiceRequestSchema, request?.body ?? Buffer.alloc(0));
  assert.partialDeepStrictEqual(attributes(message.resourceSpans[0]?.resource?.attributes ?? []), {
    "k8s.pod.name": "shop-1",
    "service.name": "shop.default",
  });
  await until(() => it.stat("tracing.opentelemetry.spans_sent") === 1);
});

test("Zipkin gets JSON, and B3 is told beside the W3C's header", async (t) => {
  const collector = await httpCollector(t);
  const it = await bench(t, { tracing: `provider: ${zipkin}`, collectorPort: collector.port });
  await ask(it.path, "/one", { headers: { host: "app" } });
  await ask(it.path, "/two", { headers: { b3: "80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1" } });
  await ask(it.path, "/three", { headers: { "x-b3-sampled": "0" } });
  await until(() => collector.zipkinSpans().length > 1);
  const spans = collector.zipkinSpans();
  const [first, second] = spans;
  assert.ok(first !== undefined && second !== undefined);
  assert.deepEqual(
    [first.kind, first.name, first.localEndpoint],
    ["CLIENT", "app.default.svc.cluster.local:80/*", { serviceName: "shop.default", ipv4: "10.0.0.7" }],
  );
  assert.equal(first.traceId.length, 32);
  assert.ok(first.duration > 0 && Math.abs(first.timestamp / 1000 - Date.now()) < 60_000);
  assert.equal(first.tags["http.url"], "http://app/one");
  assert.deepEqual([second.traceId, second.parentId], ["80f198ee56343ba864fe8b2a57d3eff7", "e457b5a2e4d86bd1"]);
  const [sentFirst, sentSecond, sentThird] = it.served;
  assert.deepEqual(
    [sentFirst?.["x-b3-traceid"], sentFirst?.["x-b3-spanid"], sentFirst?.["x-b3-sampled"], sentFirst?.["traceparent"]],
    [first.traceId, first.id, "1", `00-${first.traceId}-${first.id}-01`],
  );
  assert.deepEqual([sentSecond?.["x-b3-parentspanid"], sentSecond?.["b3"]], ["e457b5a2e4d86bd1", undefined]);
  assert.equal(sentThird?.["x-b3-sampled"], "0");
  assert.equal(collector.requests[0]?.url, "/api/v2/spans");
  assert.equal(collector.requests[0]?.headers.host, "zipkin.example");
});

test("without propagation spans are reported and nobody is told", async (t) => {
  const collector = await otelCollector(t);
  const it = await bench(t, {
    tracing: `provider: ${otel}, no_context_propagation: true`,
    collectorPort: collector.port,
    collectorProtocol: "http2",
  });
  await ask(it.path, "/");
  await until(() => collector.spans().length > 0);
  assert.equal(it.served[0]?.["traceparent"], undefined);
});

test("a collector that refuses or is not there costs spans, and no request", async (t) => {
  const refusing = await httpCollector(t, 500);
  const first = await bench(t, { tracing: `provider: ${zipkin}`, collectorPort: refusing.port });
  for (let i = 0; i < 6; i++) assert.equal((await ask(first.path, "/")).status, 200);
  await until(() => first.stat("tracing.zipkin.reports_failed") > 0);
  assert.equal(first.stat("tracing.zipkin.spans_sent"), 0);
  const second = await bench(t, { tracing: `provider: ${otel}` });
  for (let i = 0; i < 6; i++) assert.equal((await ask(second.path, "/")).status, 200);
  await until(() => second.stat("tracing.opentelemetry.reports_failed") > 0);
});
