// Access logs on the wire: requests and connections through a listener, and what services of @grpc/grpc-js hear of them.
import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { type TestContext, test } from "node:test";
import { create, fromBinary, fromJson, type JsonValue, toBinary, toJson } from "@bufbuild/protobuf";
import { type MethodDefinition, Server, ServerCredentials } from "@grpc/grpc-js";
import { parse } from "yaml";
import { AccessLogSchema } from "#wire/gen/envoy/config/accesslog/v3/accesslog_pb.ts";
import {
  type StreamAccessLogsMessage,
  StreamAccessLogsMessageSchema,
  type StreamAccessLogsResponse,
  StreamAccessLogsResponseSchema,
} from "#wire/gen/envoy/service/accesslog/v3/als_pb.ts";
import {
  type ExportLogsServiceRequest,
  ExportLogsServiceRequestSchema,
  type ExportLogsServiceResponse,
  ExportLogsServiceResponseSchema,
} from "#wire/gen/opentelemetry/proto/collector/logs/v1/logs_service_pb.ts";
import type { AccessLogger } from "../config/access-log.ts";
import { decodeAccessLogs } from "../config/decode-access-log.ts";
import { nackText, Problems } from "../config/problems.ts";
import {
  chain,
  clusterOn,
  dataPath,
  forward,
  httpFilter,
  httpServer,
  listenerConfig,
  managerConfig,
  routeEntry,
  tcpFilter,
} from "../listener/testing/data-path.ts";
import { grpcServer } from "../listener/testing/grpc-server.ts";
import { ask, sendRaw, until } from "../listener/testing/requests.ts";
import { Stats } from "../stats/stats.ts";
import { anyRegistry } from "../xds/any-registry.ts";

const loggers = "type.googleapis.com/envoy.extensions.access_loggers";
const common =
  "common_config: { log_name: mine, buffer_flush_interval: 0.01s, transport_api_version: V3, grpc_service: { envoy_grpc: { cluster_name: collector } } }";

function loggerOf(yaml: string): readonly AccessLogger[] {
  const log = fromJson(AccessLogSchema, parse(yaml) as JsonValue, { registry: anyRegistry() });
  const problems = new Problems("listener", "l");
  const { value, issues } = problems.done(decodeAccessLogs([log], "access_log", problems));
  if (value === null) throw new Error(nackText(issues));
  return value;
}

const node = { id: "sidecar~10.0.0.7~shop-1.default~default", cluster: "shop.default", zone: "z1" };

const stream: MethodDefinition<StreamAccessLogsMessage, StreamAccessLogsResponse> = {
  path: "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs",
  requestStream: true,
  responseStream: false,
  requestSerialize: (value) => Buffer.from(toBinary(StreamAccessLogsMessageSchema, value)),
  requestDeserialize: (bytes) => fromBinary(StreamAccessLogsMessageSchema, bytes),
  responseSerialize: (value) => Buffer.from(toBinary(StreamAccessLogsResponseSchema, value)),
  responseDeserialize: (bytes) => fromBinary(StreamAccessLogsResponseSchema, bytes),
};

/** Envoy's service: it answers when a stream of logs ends. */
async function logServer(t: TestContext) {
  const heard: StreamAccessLogsMessage[] = [];
  const server = new Server();
  server.addService(
    { stream },
    {
      stream: (
        call: AsyncIterable<StreamAccessLogsMessage>,
        callback: (error: null, answer: StreamAccessLogsResponse) => void,
      ) => {
        void (async () => {
          for await (const message of call) heard.push(message);
          callback(null, create(StreamAccessLogsResponseSchema));
        })();
      },
    },
  );
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  t.after(() => server.forceShutdown());
  return { heard, port };
}

async function http(t: TestContext, accessLog: readonly AccessLogger[], collectorPort: number) {
  const app = await httpServer((_, response) => {
    response.writeHead(404, { "x-served": "a", trailer: "x-end" });
    response.addTrailers({ "x-end": "done" });
    response.end("nothing");
  });
  const stats = new Stats();
  const path = dataPath({ stats, node });
  path.clusters.update(clusterOn("app", [app.port]));
  path.clusters.update(clusterOn("collector", [collectorPort], { upstreamProtocol: "http2" }));
  const manager = managerConfig([routeEntry("/", forward("app"), { name: "all" })], { accessLog });
  await path.listeners.update(listenerConfig([chain([httpFilter(manager)])]));
  t.after(() => {
    path.stop();
    app.stop();
  });
  return { path, stat: (name: string) => stats.values().find((it) => it.name === name)?.value };
}

test("Envoy's log service hears of requests, with the headers that are asked for", async (t) => {
  const service = await logServer(t);
  const logs = loggerOf(
    `{ name: http, typed_config: { "@type": ${loggers}.grpc.v3.HttpGrpcAccessLogConfig, ${common}, additional_request_headers_to_log: [X-Tenant, x-none], additional_response_headers_to_log: [x-served], additional_response_trailers_to_log: [x-end] }, filter: { header_filter: { header: { name: x-tenant, present_match: true } } } }`,
  );
  const { path, stat } = await http(t, logs, service.port);
  await ask(path, "/not-logged");
  await ask(
    path,
    "/cart?id=1",
    { method: "POST", headers: { host: "shop", "x-tenant": "acme", "user-agent": "test" } },
    "hello",
  );
  await until(() => service.heard.length > 0 && stat("access_logs.grpc_access_log.logs_written") === 1);
  const [message] = service.heard;
  assert.deepEqual(
    [message?.identifier?.logName, message?.identifier?.node?.id, message?.identifier?.node?.cluster],
    ["mine", node.id, node.cluster],
  );
  assert.ok(message !== undefined);
  const { httpLogs } = toJson(StreamAccessLogsMessageSchema, message) as {
    httpLogs: { logEntry: Record<string, Record<string, unknown>>[] };
  };
  assert.equal(httpLogs.logEntry.length, 1);
  assert.partialDeepStrictEqual(httpLogs.logEntry[0], {
    protocolVersion: "HTTP11",
    request: {
      requestMethod: "POST",
      scheme: "http",
      authority: "shop",
      path: "/cart?id=1",
      userAgent: "test",
      requestBodyBytes: "5",
      requestHeaders: { "x-tenant": "acme" },
    },
    response: {
      responseCode: 404,
      responseBodyBytes: "7",
      responseCodeDetails: "via_upstream",
      responseHeaders: { "x-served": "a" },
      responseTrailers: { "x-end": "done" },
    },
    commonProperties: { upstreamCluster: "app", routeName: "all", accessLogType: "DownstreamEnd", responseFlags: {} },
  });
  const properties = httpLogs.logEntry[0]?.["commonProperties"];
  assert.match(String(properties?.["duration"]), /^[\d.]+s$/);
  assert.partialDeepStrictEqual(properties?.["downstreamRemoteAddress"], { socketAddress: { address: "127.0.0.1" } });
});

test("Envoy's log service hears of connections", async (t) => {
  const service = await logServer(t);
  const echo = createServer((socket) => socket.pipe(socket));
  echo.listen(0, "127.0.0.1");
  await once(echo, "listening");
  const path = dataPath({ node });
  path.clusters.update(clusterOn("app", [(echo.address() as AddressInfo).port]));
  path.clusters.update(clusterOn("collector", [service.port], { upstreamProtocol: "http2" }));
  const accessLog = loggerOf(
    `{ name: tcp, typed_config: { "@type": ${loggers}.grpc.v3.TcpGrpcAccessLogConfig, ${common} } }`,
  );
  await path.listeners.update(listenerConfig([chain([tcpFilter("app", { accessLog })])]));
  t.after(() => {
    path.stop();
    echo.close();
  });
  assert.equal(await sendRaw(path.port(), "hello", { end: true }), "hello");
  await until(() => service.heard.length > 0);
  const entries = service.heard[0]?.logEntries;
  assert.ok(entries?.case === "tcpLogs");
  const [entry] = entries.value.logEntry;
  assert.deepEqual([entry?.connectionProperties?.receivedBytes, entry?.connectionProperties?.sentBytes], [5n, 5n]);
  assert.equal(entry?.commonProperties?.upstreamCluster, "app");
});

test("OpenTelemetry gets records with a body and attributes", async (t) => {
  const heard: ExportLogsServiceRequest[] = [];
  const method: MethodDefinition<ExportLogsServiceRequest, ExportLogsServiceResponse> = {
    path: "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
    requestStream: false,
    responseStream: false,
    requestSerialize: (value) => Buffer.from(toBinary(ExportLogsServiceRequestSchema, value)),
    requestDeserialize: (bytes) => fromBinary(ExportLogsServiceRequestSchema, bytes),
    responseSerialize: (value) => Buffer.from(toBinary(ExportLogsServiceResponseSchema, value)),
    responseDeserialize: (bytes) => fromBinary(ExportLogsServiceResponseSchema, bytes),
  };
  const service = await grpcServer(method, (request) => {
    heard.push(request);
    return create(ExportLogsServiceResponseSchema);
  });
  t.after(() => service.stop());
  const logs = loggerOf(
    `{ name: otel, typed_config: { "@type": ${loggers}.open_telemetry.v3.OpenTelemetryAccessLogConfig, ${common}, resource_attributes: { values: [{ key: team, value: { string_value: red } }] }, body: { string_value: "%REQ(:METHOD)% %PATH(NQ)%" }, attributes: { values: [{ key: code, value: { string_value: "%RESPONSE_CODE%" } }, { key: more, value: { kvlist_value: { values: [{ key: none, value: { string_value: "%REQ(x-none)%" } }] } } }, { key: number, value: { int_value: 7 } }] } } }`,
  );
  const { path, stat } = await http(t, logs, service.port);
  await ask(path, "/cart?id=1");
  await until(() => stat("access_logs.open_telemetry_access_log.logs_written") === 1);
  const [request] = heard;
  assert.ok(request !== undefined);
  const { resourceLogs } = toJson(ExportLogsServiceRequestSchema, request) as {
    resourceLogs: { resource: unknown; scopeLogs: { logRecords: Record<string, unknown>[] }[] }[];
  };
  const strings = (values: Readonly<Record<string, string>>) =>
    Object.entries(values).map(([key, stringValue]) => ({ key, value: { stringValue } }));
  assert.deepEqual(resourceLogs[0]?.resource, {
    attributes: strings({
      log_name: "mine",
      zone_name: "z1",
      cluster_name: node.cluster,
      node_name: node.id,
      team: "red",
    }),
  });
  const [record] = resourceLogs[0]?.scopeLogs[0]?.logRecords ?? [];
  assert.deepEqual(record?.["body"], { stringValue: "GET /cart" });
  assert.deepEqual(record?.["attributes"], [
    ...strings({ code: "404" }),
    { key: "more", value: { kvlistValue: { values: strings({ none: "-" }) } } },
    { key: "number", value: { intValue: "7" } },
  ]);
});

test("a service that is not there costs records, and no request", async (t) => {
  const logs = loggerOf(
    `{ name: http, typed_config: { "@type": ${loggers}.grpc.v3.HttpGrpcAccessLogConfig, ${common} } }`,
  );
  const { path, stat } = await http(t, logs, 1);
  for (let i = 0; i < 6; i++) assert.equal((await ask(path, "/")).status, 404);
  await until(() => (stat("access_logs.grpc_access_log.batches_failed") ?? 0) > 0);
});

test("a logger without a name or a service is refused", () => {
  const refusal =
    (fields: string): (() => unknown) =>
    () =>
      loggerOf(`{ name: http, typed_config: { "@type": ${loggers}.grpc.v3.HttpGrpcAccessLogConfig, ${fields} } }`);
  assert.throws(refusal(""), /common_config: is missing/);
  assert.throws(
    refusal("common_config: { grpc_service: { envoy_grpc: { cluster_name: a } } }"),
    /log_name: is missing/,
  );
  assert.throws(refusal("common_config: { log_name: a }"), /grpc_service: names no service/);
});
