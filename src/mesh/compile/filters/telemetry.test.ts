import assert from "node:assert/strict";
import { test } from "node:test";
import { toJson } from "@bufbuild/protobuf";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import { allTypes } from "#wire/gen/all-types.ts";
import {
  type AccessLog,
  AccessLogFilterSchema,
  AccessLogSchema,
} from "#wire/gen/envoy/config/accesslog/v3/accesslog_pb.ts";
import { FileAccessLogSchema } from "#wire/gen/envoy/extensions/access_loggers/file/v3/file_pb.ts";
import { PluginConfigSchema } from "#wire/gen/istio/stats-filter_pb.ts";
import { defaultMeshConfig } from "../../kinds/mesh-config/decode.ts";
import { compileProxy } from "../compile.ts";
import { refusals } from "../testing/accepted.ts";
import { bookinfo, mesh, sidecarOf } from "../testing/mesh.ts";
import { filterNames, httpManager } from "../testing/summary.ts";

const reviews = sidecarOf("reviews", "10.244.0.13");

const telemetry = (name: string, spec: string, namespace = "default"): string => `
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: ${name}, namespace: ${namespace}}
spec: ${spec}
`;

const config = {
  accessLogFile: "/dev/stdout",
  rest: {
    ...defaultMeshConfig.rest,
    extensionProviders: [
      {
        name: "json",
        envoyFileAccessLog: { path: "/tmp/json.log", logFormat: { labels: { status: "%RESPONSE_CODE%" } } },
      },
      { name: "text", envoyFileAccessLog: { path: "/tmp/text.log", logFormat: { text: "%RESPONSE_CODE%" } } },
      { name: "collector", opentelemetry: { service: "otel", port: 4317 } },
      {
        name: "otel",
        envoyOtelAls: {
          service: "ratings.default.svc.cluster.local",
          port: 9080,
          logFormat: { text: "%PROTOCOL%", labels: { b: "%RESPONSE_CODE%", a: "x" } },
        },
      },
      {
        name: "http",
        envoyHttpAls: {
          service: "default/ratings.default.svc.cluster.local",
          port: 9080,
          additionalRequestHeadersToLog: ["X-Tenant"],
        },
      },
      {
        name: "tcp",
        envoyTcpAls: { service: "ratings.default.svc.cluster.local", port: 9080, logName: "own" },
      },
      { name: "gone", envoyTcpAls: { service: "nobody.default.svc.cluster.local", port: 9080 } },
    ],
  },
};

function listenersOf(...yaml: string[]) {
  const snapshot = mesh(bookinfo, yaml.join("---"), config);
  const compiled = compileProxy(snapshot, reviews);
  assert.deepEqual(refusals(compiled), []);
  const outbound = compiled.listeners.get("0.0.0.0_9080");
  const inbound = compiled.listeners.get("virtualInbound");
  return {
    snapshot,
    listener: outbound,
    outbound: outbound?.filterChains.find((chain) => httpManager(chain) !== undefined),
    inbound: inbound?.filterChains.find(({ filterChainMatch }) => filterChainMatch?.destinationPort === 9080),
  };
}

function paths(logs: readonly AccessLog[] = []): string[] {
  return logs.map(({ configType }) => {
    const file = configType.case === "typedConfig" ? anyUnpack(configType.value, FileAccessLogSchema) : undefined;
    return file?.path ?? "none";
  });
}

test("without Telemetry the mesh's log is written", () => {
  const { outbound, inbound } = listenersOf();
  assert.deepEqual(
    [paths(httpManager(outbound)?.accessLog), paths(httpManager(inbound)?.accessLog)],
    [["/dev/stdout"], ["/dev/stdout"]],
  );
});

test("providers of files are written to, with their formats, on the side that is asked for", () => {
  const { outbound, inbound } = listenersOf(
    telemetry(
      "logs",
      "{accessLogging: [{providers: [{name: json}], match: {mode: SERVER}}, {providers: [{name: text}], match: {mode: CLIENT}}]}",
    ),
  );
  assert.deepEqual(paths(httpManager(inbound)?.accessLog), ["/tmp/json.log"]);
  assert.deepEqual(paths(httpManager(outbound)?.accessLog), ["/tmp/text.log"]);
});

test("a filter becomes Envoy's CEL filter, beside the one that the listener's log has", () => {
  const { outbound, listener, snapshot } = listenersOf(
    telemetry("logs", "{accessLogging: [{providers: [{name: text}], filter: {expression: response.code >= 400}}]}"),
  );
  const filters = [httpManager(outbound)?.accessLog[0]?.filter, listener?.accessLog[0]?.filter].map(
    (filter) => filter && toJson(AccessLogFilterSchema, filter, { registry: allTypes }),
  );
  const cel = {
    extensionFilter: {
      name: "envoy.access_loggers.extension_filters.cel",
      typedConfig: {
        "@type": "type.googleapis.com/envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter",
        expression: "response.code >= 400",
      },
    },
  };
  assert.deepEqual(filters, [cel, { andFilter: { filters: [{ responseFlagFilter: { flags: ["NR"] } }, cel] } }]);
  assert.equal(snapshot.resourceStates().find(({ origin }) => origin.name === "logs")?.state, "in force");
});

test("a filter that is no CEL is an issue at its place", () => {
  const { snapshot } = listenersOf(telemetry("logs", "{accessLogging: [{filter: {expression: response.code >=}}]}"));
  const issue = snapshot.issues.find(({ object }) => object?.name === "logs");
  assert.equal(issue?.path, "spec.accessLogging[0].filter.expression");
  assert.match(issue?.message ?? "", /is not valid CEL: Unexpected token/);
});

test("services take logs over gRPC, each in its form", () => {
  const { outbound, listener } = listenersOf(
    telemetry("logs", "{accessLogging: [{providers: [{name: otel}, {name: http}, {name: tcp}, {name: gone}]}]}"),
  );
  const logs = (httpManager(outbound)?.accessLog ?? []).map((log) =>
    toJson(AccessLogSchema, log, { registry: allTypes }),
  );
  const host = "ratings.default.svc.cluster.local";
  const common = {
    grpcService: { envoyGrpc: { clusterName: `outbound|9080||${host}`, authority: host } },
    transportApiVersion: "V3",
  };
  assert.partialDeepStrictEqual(logs, [
    {
      name: "envoy.access_loggers.open_telemetry",
      typedConfig: {
        commonConfig: { ...common, logName: "otel_envoy_accesslog" },
        disableBuiltinLabels: true,
        body: { stringValue: "%PROTOCOL%" },
        attributes: {
          values: [
            { key: "a", value: { stringValue: "x" } },
            { key: "b", value: { stringValue: "%RESPONSE_CODE%" } },
          ],
        },
      },
    },
    {
      name: "envoy.http_grpc_access_log",
      typedConfig: {
        commonConfig: {
          ...common,
          logName: "http_envoy_accesslog",
          filterStateObjectsToLog: ["upstream_peer", "downstream_peer"],
        },
        additionalRequestHeadersToLog: ["X-Tenant"],
      },
    },
    { name: "envoy.tcp_grpc_access_log", typedConfig: { commonConfig: { ...common, logName: "own" } } },
  ]);
  assert.equal(logs.length, 3);
  assert.deepEqual(
    listener?.accessLog.map(({ filter }) => filter?.filterSpecifier.case),
    ["responseFlagFilter", "responseFlagFilter", "responseFlagFilter"],
  );
});

test("the workload's Telemetry is over the namespace's, and that over the mesh's", () => {
  const root = telemetry("root", "{accessLogging: [{disabled: true}]}", "istio-system");
  const own = telemetry("own", "{accessLogging: [{disabled: false}]}");
  const workload = telemetry(
    "workload",
    "{selector: {matchLabels: {app: reviews}}, accessLogging: [{providers: [{name: text}]}]}",
  );
  assert.deepEqual(paths(httpManager(listenersOf(root).outbound)?.accessLog), []);
  assert.deepEqual(paths(httpManager(listenersOf(root, own).outbound)?.accessLog), ["/dev/stdout"]);
  assert.deepEqual(paths(httpManager(listenersOf(root, own, workload).outbound)?.accessLog), ["/tmp/text.log"]);
});

test("overrides of metrics become the configuration of istio.stats", () => {
  const { outbound } = listenersOf(
    telemetry(
      "metrics",
      "{metrics: [{overrides: [{match: {metric: REQUEST_COUNT}, tagOverrides: {host: {value: request.host}, source_app: {operation: REMOVE}}}, {match: {metric: REQUEST_DURATION}, disabled: true}]}]}",
    ),
  );
  const filter = httpManager(outbound)?.httpFilters.find(({ name }) => name === "istio.stats")?.configType;
  const stats = filter?.case === "typedConfig" ? anyUnpack(filter.value, PluginConfigSchema) : undefined;
  assert.deepEqual(stats && toJson(PluginConfigSchema, stats), {
    metrics: [
      { name: "requests_total", dimensions: { host: "request.host" }, tagsToRemove: ["source_app"] },
      { name: "request_duration_milliseconds", drop: true },
    ],
  });
});

test("an override of a metric of one's own keeps its name", () => {
  const { outbound, snapshot } = listenersOf(
    telemetry(
      "metrics",
      "{metrics: [{overrides: [{match: {customMetric: my_metric}, tagOverrides: {a: {value: request.host}}}]}]}",
    ),
  );
  const filter = httpManager(outbound)?.httpFilters.find(({ name }) => name === "istio.stats")?.configType;
  const stats = filter?.case === "typedConfig" ? anyUnpack(filter.value, PluginConfigSchema) : undefined;
  assert.deepEqual(
    stats?.metrics.map(({ name, dimensions }) => [name, dimensions]),
    [["my_metric", { a: "request.host" }]],
  );
  assert.equal(snapshot.resourceStates().find(({ origin }) => origin.name === "metrics")?.state, "in force");
});

test("where no provider is Prometheus nothing is counted", () => {
  const { outbound, snapshot } = listenersOf(telemetry("metrics", "{metrics: [{providers: [{name: stackdriver}]}]}"));
  assert.ok(!filterNames(outbound).includes("istio.stats"));
  assert.match(
    snapshot.issues.map(({ message }) => message).join(),
    /provider stackdriver is accepted and not in force/,
  );
});

const providers: readonly [name: string, message: RegExp][] = [
  ["jsn", /has no provider jsn/],
  ["gone", /the provider gone is the service nobody\.default\.svc\.cluster\.local, which does not exist/],
  ["collector", /provider collector is accepted and not in force yet/],
];
for (const [name, message] of providers) {
  test(`a log for the provider ${name} is said to be written to nobody`, () => {
    const { snapshot } = listenersOf(telemetry("logs", `{accessLogging: [{providers: [{name: ${name}}]}]}`));
    const issue = snapshot.issues.find((item) => message.test(item.message));
    assert.equal(issue?.path, "spec.accessLogging[0].providers[0].name");
    assert.equal(snapshot.resourceStates().find(({ origin }) => origin.name === "logs")?.state, "partly in force");
  });
}
