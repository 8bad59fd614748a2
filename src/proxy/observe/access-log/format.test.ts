import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import type { JsonObject } from "@bufbuild/protobuf";
import type { AccessLogEntry, LogMoment } from "../../config/access-log.ts";
import { compileJsonFormat, compileTextFormat, withCause } from "./format.ts";
import { AccessLogSink } from "./sink.ts";

const requestHeaders: Readonly<Record<string, string>> = {
  "x-forwarded-for": "10.0.0.9",
  "user-agent": "curl/8",
  "x-request-id": "id-1",
  "x-quote": 'say "hi"',
  traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
};

const moments: Readonly<Record<LogMoment, number>> = {
  requestEnd: 1,
  upstreamStart: 1.5,
  upstreamRequestEnd: 2.5,
  upstreamHead: 5.5,
  upstreamEnd: 8,
  responseStart: 6.25,
  responseEnd: 10,
};

const configured = {
  cluster: { istio: { services: [{ host: "a" }] } },
  route: { own: { a: 1 } },
  endpoint: { "envoy.lb": { version: "v2" } },
};

const entry: AccessLogEntry = {
  startTimeMs: Date.UTC(2026, 0, 31, 12, 34, 56, 789),
  durationMs: 12.4,
  method: "GET",
  originalPath: "/reviews/1?a=b",
  path: "/rewritten?a=b",
  authority: "reviews:9080",
  protocol: "HTTP/1.1",
  responseCode: 200,
  responseFlags: "",
  responseCodeDetails: "via_upstream",
  connectionTerminationDetails: undefined,
  upstreamTransportFailureReason: undefined,
  bytesReceived: 0,
  bytesSent: 295,
  upstreamHost: "10.244.0.23:9080",
  upstreamCluster: "outbound|9080|v2|reviews.default.svc.cluster.local",
  upstreamLocalAddress: "10.244.0.11:40000",
  downstreamLocalAddress: "10.96.0.13:9080",
  downstreamRemoteAddress: "10.244.0.11:50000",
  requestedServerName: "",
  routeName: "default",
  peerUriSan: undefined,
  localUriSan: undefined,
  requestHeader: (name) => requestHeaders[name],
  responseHeader: (name) => (name === "x-envoy-upstream-service-time" ? "11" : undefined),
  peer: (side) =>
    side === "downstream"
      ? {
          workload: "web-v1",
          namespace: "shop",
          cluster: "Kubernetes",
          service: "web",
          revision: "v1",
          app: "",
          version: "",
        }
      : null,
  metadata: (namespace) => (namespace === "filter" ? { text: "words", nested: { list: [1, 2] } } : undefined),
  responseTrailer: (name) => (name === "grpc-status" ? "7" : undefined),
  detail: (what) =>
    ({ tlsVersion: "TLSv1.3", attempts: 2, peerNotAfterMs: Date.UTC(2026, 1, 1), peerFingerprintSha1: "ab12" })[
      what as "attempts"
    ],
  moment: (what) => Date.UTC(2026, 0, 31, 12, 34, 56, 789) + moments[what],
  configuredMetadata: (owner, namespace) => (configured[owner] as Record<string, unknown>)[namespace],
  cause: undefined,
};

const istioText =
  '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% ' +
  '%RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "%UPSTREAM_TRANSPORT_FAILURE_REASON%" %BYTES_RECEIVED% ' +
  '%BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" ' +
  '"%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% ' +
  "%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n";

const text = (format: string, change: Partial<AccessLogEntry> = {}, omitEmptyValues = false): string => {
  const problems: string[] = [];
  const render = compileTextFormat(format, { omitEmptyValues }, (message) => problems.push(message));
  return problems.length > 0 ? problems.join("; ") : render({ ...entry, ...change });
};

test("Istio's text format", () => {
  assert.equal(
    text(istioText),
    '[2026-01-31T12:34:56.789Z] "GET /reviews/1?a=b HTTP/1.1" 200 - via_upstream - "-" 0 295 12 11 "10.0.0.9" ' +
      '"curl/8" "id-1" "reviews:9080" "10.244.0.23:9080" outbound|9080|v2|reviews.default.svc.cluster.local ' +
      "10.244.0.11:40000 10.96.0.13:9080 10.244.0.11:50000 - default\n",
  );
});

test("a connection without HTTP shows dashes where HTTP would be", () => {
  const tcp: Partial<AccessLogEntry> = {
    method: undefined,
    originalPath: undefined,
    path: undefined,
    authority: undefined,
    protocol: undefined,
    responseCode: 0,
    responseFlags: "UH",
    responseCodeDetails: undefined,
    requestHeader: () => undefined,
    responseHeader: () => undefined,
  };
  assert.match(text(istioText, tcp), /^\[2026-01-31T12:34:56\.789Z\] "- - -" 0 UH - - "-" 0 295 12 - "-" "-" "-" "-" /);
});

const operators: readonly [string, string][] = [
  ["%REQ(X-NONE?USER-AGENT)%", "curl/8"],
  ["%REQ(USER-AGENT):4%", "curl"],
  ["%REQ_WITHOUT_QUERY(X-ENVOY-ORIGINAL-PATH)%", "/reviews/1"],
  ["%START_TIME(%Y/%m/%dT%H:%M:%S%z %s %3f)%", "2026/01/31T12:34:56+0000 1769862896 789"],
  ["100%%", "100%"],
  ["%UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", "10.244.0.23"],
  ["%DOWNSTREAM_LOCAL_PORT%", "9080"],
  ["%DYNAMIC_METADATA(filter:text)%", "words"],
  ["%DYNAMIC_METADATA(filter:nested:list)%", "[1,2]"],
  ["%METADATA(DYNAMIC:filter:text)%", "words"],
  ["%DYNAMIC_METADATA(filter:none)%", "-"],
  ["%DYNAMIC_METADATA(filter:text:deeper)%", "-"],
  ["%FILTER_STATE(x)%", "-"],
  [
    "%FILTER_STATE(downstream_peer:PLAIN)%",
    "workload=web-v1,cluster=Kubernetes,namespace=shop,service=web,revision=v1",
  ],
  [
    "%FILTER_STATE(downstream_peer)%",
    '{"workload":"web-v1","cluster":"Kubernetes","namespace":"shop","service":"web","revision":"v1"}',
  ],
  ["%FILTER_STATE(downstream_peer:FIELD:namespace)% %FILTER_STATE(downstream_peer:FIELD:app)%", "shop -"],
  ["%FILTER_STATE(downstream_peer:FIELD:namespace):2%", "sh"],
  ["%UPSTREAM_FILTER_STATE(upstream_peer)% %FILTER_STATE(io.istio.peer_principal:PLAIN)%", "- -"],
  [
    "%FILTER_STATE(downstream_peer:FIELD)%",
    '"downstream_peer:FIELD" is not KEY, KEY:PLAIN, KEY:TYPED or KEY:FIELD:name of %FILTER_STATE%',
  ],
  ["%TRAILER(GRPC-STATUS)% %TRAILER(X-NONE)%", "7 -"],
  ["%GRPC_STATUS% %GRPC_STATUS(SNAKE_STRING)% %GRPC_STATUS_NUMBER%", "PermissionDenied PERMISSION_DENIED 7"],
  ["%GRPC_STATUS(LOUD)%", '"LOUD" is not CAMEL_STRING, SNAKE_STRING or NUMBER'],
  ["%QUERY_PARAM(a)% %QUERY_PARAM(none)%", "b -"],
  ["%DOWNSTREAM_TLS_VERSION% %UPSTREAM_REQUEST_ATTEMPT_COUNT%", "TLSv1.3 2"],
  ["%DOWNSTREAM_PEER_CERT_V_END(%Y-%m-%d)%", "2026-02-01"],
  ["%DOWNSTREAM_REMOTE_PORT% %UPSTREAM_REMOTE_PORT%", "50000 9080"],
  ["%REQUEST_DURATION% %REQUEST_TX_DURATION% %RESPONSE_DURATION% %RESPONSE_TX_DURATION%", "1 2 5 4"],
  ["%COMMON_DURATION(US_TX_BEG:US_RX_BEG:us)% %COMMON_DURATION(DS_TX_BEG:DS_TX_END)%", "4000 3"],
  ["%COMMON_DURATION(US_RX_END:DS_RX_BEG:ms)% %COMMON_DURATION(US_CX_BEG:US_CX_END:ms)%", "- -"],
  ["%COMMON_DURATION(DS_RX_BEG)%", '"DS_RX_BEG" is not START:END:PRECISION of %COMMON_DURATION%'],
  ["%RESPONSE_FLAGS_LONG%", "-"],
  ["%PATH% %PATH(NQ)% %PATH(WQ:PATH)% %PATH(NQ:ORIG)%", "/reviews/1?a=b /reviews/1 /rewritten?a=b /reviews/1"],
  ["%PATH(XX)%", '"XX" is not QUERY:WHOSE of %PATH%'],
  ["%TRACE_ID%", "0af7651916cd43dd8448eb211c80319c"],
  ["%DOWNSTREAM_PEER_FINGERPRINT_1%", "ab12"],
  ["%CLUSTER_METADATA(istio:services)%", '[{"host":"a"}]'],
  ["%UPSTREAM_METADATA(envoy.lb:version)% %METADATA(UPSTREAM_HOST:envoy.lb:version)%", "v2 v2"],
  ["%METADATA(ROUTE:own:a)% %METADATA(CLUSTER:none)%", "1 -"],
  ["%METADATA(VIRTUAL_HOST:x)%", '"VIRTUAL_HOST" is no metadata that is known here'],
  ["%SPAN_ID%", "-"],
  ["%NOPE%", "%NOPE% is not a known operator"],
  ["%START_TIME(%Q)%", '"%Q" is not a known time format'],
  ["a % b", '"a % b" has a % that begins no operator'],
];

for (const [format, expected] of operators) {
  test(`format ${format} gives ${expected}`, () => assert.equal(text(format), expected));
}

test("flags have long names, and every line its own id and time", () => {
  assert.equal(
    text("%RESPONSE_FLAGS_LONG%", { responseFlags: "UH,URX" }),
    "NoHealthyUpstream,UpstreamRetryLimitExceeded",
  );
  const render = compileTextFormat("%UNIQUE_ID% %EMIT_TIME(%s)%", { omitEmptyValues: false }, assert.fail);
  const [id = "", time = ""] = render(entry).split(" ");
  assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$/);
  assert.notEqual(render(entry).split(" ")[0], id);
  assert.ok(Math.abs(Number(time) - Date.now() / 1000) < 60);
});

test("an operator that never has a value here is told", () => {
  const told: string[] = [];
  const options = { omitEmptyValues: false, onValueless: (name: string) => told.push(name) };
  compileTextFormat("%CUSTOM_FLAGS% %METHOD%", options, assert.fail);
  compileJsonFormat(
    { a: "%FILTER_STATE(y)%", b: "x %VIRTUAL_CLUSTER_NAME%", c: "%FILTER_STATE(upstream_peer)%" },
    options,
    assert.fail,
  );
  assert.deepEqual(told, ["CUSTOM_FLAGS", "FILTER_STATE", "VIRTUAL_CLUSTER_NAME"]);
});

test("omitted empty values leave nothing", () => {
  assert.equal(text("[%RESPONSE_FLAGS%]", {}, true), "[]");
});

const json = (format: JsonObject, omitEmptyValues = false): unknown =>
  JSON.parse(compileJsonFormat(format, { omitEmptyValues }, assert.fail)(entry));

test("JSON lines keep numbers as numbers, show absent values as null and sort their keys", () => {
  const render = compileJsonFormat(
    {
      zeta: "%BYTES_SENT%",
      alpha: "%REQ(X-QUOTE)%",
      code: "%RESPONSE_CODE%",
      flags: "%RESPONSE_FLAGS%",
      both: "%PROTOCOL%/%RESPONSE_CODE%",
    },
    { omitEmptyValues: false },
    assert.fail,
  );
  assert.equal(render(entry), '{"alpha":"say \\"hi\\"","both":"HTTP/1.1/200","code":200,"flags":null,"zeta":295}\n');
});

test("answers of the proxy itself say why at the end of the line, and others stay as they are", () => {
  const cause = 'no route matches "/x"';
  const line = withCause(compileTextFormat("%RESPONSE_CODE%\n", { omitEmptyValues: false }, assert.fail));
  assert.equal(line(entry), "200\n");
  assert.equal(line({ ...entry, cause }), '200 cause="no route matches \\"/x\\""\n');
  const object = withCause(compileJsonFormat({ code: "%RESPONSE_CODE%" }, { omitEmptyValues: false }, assert.fail));
  assert.equal(object(entry), '{"code":200}\n');
  assert.deepEqual(JSON.parse(object({ ...entry, cause })), { code: 200, cause });
  const empty = withCause(compileJsonFormat({}, { omitEmptyValues: false }, assert.fail));
  assert.deepEqual(JSON.parse(empty({ ...entry, cause })), { cause });
});

test("JSON formats nest, and omit what is empty when asked", () => {
  assert.deepEqual(json({ a: { b: ["%PROTOCOL%", 7, true] }, none: "%RESPONSE_FLAGS%" }, true), {
    a: { b: ["HTTP/1.1", 7, true] },
  });
});

test("lines of one turn leave in one write", async () => {
  const stdout = new PassThrough();
  const writes: string[] = [];
  stdout.on("data", (chunk: Buffer) => writes.push(chunk.toString()));
  const sink = new AccessLogSink({ stdout });
  sink.write("/dev/stdout", "one\n");
  sink.write("/dev/stdout", "two\n");
  await new Promise((resolve) => setImmediate(resolve));
  await sink.stop();
  assert.deepEqual(writes, ["one\ntwo\n"]);
});

test("a reader that does not keep up costs lines, not memory", () => {
  const stdout = new PassThrough({ highWaterMark: 1 });
  const sink = new AccessLogSink({ stdout });
  const line = `${"x".repeat(1024 * 1024 - 1)}\n`;
  for (let i = 0; i < 10; i++) sink.write("/dev/stdout", line);
  assert.ok(sink.droppedLines > 0);
});
