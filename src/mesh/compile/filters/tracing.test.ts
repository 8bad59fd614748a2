import assert from "node:assert/strict";
import { test } from "node:test";
import { toJson } from "@bufbuild/protobuf";
import { allTypes } from "#wire/gen/all-types.ts";
import { HttpConnectionManagerSchema } from "#wire/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts";
import { defaultMeshConfig } from "../../kinds/mesh-config/decode.ts";
import { compileProxy } from "../compile.ts";
import { refusals } from "../testing/accepted.ts";
import { bookinfo, mesh, sidecarOf } from "../testing/mesh.ts";
import { httpManager } from "../testing/summary.ts";

const plain = sidecarOf("reviews", "10.244.0.13");
const reviews = {
  ...plain,
  serviceCluster: "reviews.default",
  labels: {
    ...plain.labels,
    "service.istio.io/canonical-name": "reviews",
    "service.istio.io/canonical-revision": "v1",
  },
};

const collector = `
apiVersion: v1
kind: Service
metadata: {name: collector, namespace: tracing}
spec: {clusterIP: 10.96.9.9, ports: [{name: grpc, port: 4317}, {name: http-zipkin, port: 9411}]}
---`;

const service = "collector.tracing.svc.cluster.local";
const providers: readonly Readonly<Record<string, unknown>>[] = [
  { name: "otel", opentelemetry: { service, port: 4317, maxTagLength: 99, grpc: { timeout: "2s" } } },
  {
    name: "otel-http",
    opentelemetry: {
      service: `tracing/${service}`,
      port: 4318,
      http: { path: "/v1/traces", headers: [{ name: "x-token", value: "t" }] },
      resourceDetectors: { environment: {} },
    },
  },
  { name: "zipkin", zipkin: { service, port: 9411, traceContextOption: "USE_B3_WITH_W3C_PROPAGATION" } },
  { name: "datadog", datadog: { service, port: 8126 } },
  { name: "skywalking", skywalking: { service, port: 11_800 } },
  { name: "nowhere", opentelemetry: { service: "nobody.tracing.svc.cluster.local", port: 4317 } },
  { name: "lightstep", lightstep: { service, port: 1 } },
];

const telemetry = (spec: string): string => `
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: traces, namespace: default}
spec: ${spec}
`;

function managers(
  spec: string | undefined,
  change: Partial<typeof defaultMeshConfig> = {},
  environment: Readonly<Record<string, string>> = {},
) {
  const config = {
    ...change,
    rest: { ...defaultMeshConfig.rest, extensionProviders: providers, ...change.rest },
  };
  const snapshot = mesh(bookinfo, `${collector}${spec === undefined ? "" : telemetry(spec)}`, config, { environment });
  const compiled = compileProxy(snapshot, reviews);
  assert.deepEqual(refusals(compiled), []);
  const manager = (listener: string, port?: number) => {
    const chain = compiled.listeners
      .get(listener)
      ?.filterChains.find(
        (item) =>
          httpManager(item) !== undefined && (port === undefined || item.filterChainMatch?.destinationPort === port),
      );
    const found = httpManager(chain);
    if (found === undefined) return undefined;
    const { tracing, requestIdExtension } = toJson(HttpConnectionManagerSchema, found, {
      registry: allTypes,
    }) as { tracing?: Record<string, unknown>; requestIdExtension?: { typedConfig: Record<string, unknown> } };
    return { tracing, requestIdExtension };
  };
  return { snapshot, outbound: manager("0.0.0.0_9080"), inbound: manager("virtualInbound", 9080) };
}

const istioTags = {
  "istio.canonical_revision": "v1",
  "istio.canonical_service": "reviews",
  "istio.cluster_id": "Kubernetes",
  "istio.mesh_id": "unknown",
  "istio.namespace": "default",
};

function literals(tracing: Record<string, unknown> | undefined): Record<string, string> {
  const tags = (tracing?.["customTags"] ?? []) as { tag: string; literal?: { value: string } }[];
  return Object.fromEntries(tags.flatMap(({ tag, literal }) => (literal === undefined ? [] : [[tag, literal.value]])));
}

test("without a provider nothing is traced, and proxies share their connection managers", () => {
  const { outbound, inbound } = managers(undefined);
  assert.deepEqual(
    [outbound, inbound],
    [
      { tracing: undefined, requestIdExtension: undefined },
      { tracing: undefined, requestIdExtension: undefined },
    ],
  );
});

test("a provider's spans say whose they are, how many requests are sampled and where they go", () => {
  const { outbound, snapshot } = managers("{tracing: [{providers: [{name: otel}], randomSamplingPercentage: 42.5}]}");
  const tracing = outbound?.tracing;
  assert.partialDeepStrictEqual(tracing, {
    clientSampling: { value: 100 },
    randomSampling: { value: 42.5 },
    overallSampling: { value: 100 },
    maxPathTagLength: 99,
    provider: {
      name: "envoy.tracers.opentelemetry",
      typedConfig: {
        "@type": "type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig",
        grpcService: {
          envoyGrpc: { clusterName: `outbound|4317||${service}`, authority: service },
          timeout: "2s",
        },
        serviceName: "reviews.default",
      },
    },
  });
  assert.equal(tracing?.["spawnUpstreamSpan"], undefined);
  assert.deepEqual(literals(tracing), istioTags);
  const names = ((tracing?.["customTags"] ?? []) as { tag: string }[]).map(({ tag }) => tag);
  assert.deepEqual(names, [...names].sort());
  assert.ok(names.includes("istio.authorization.dry_run.allow_policy.result"));
  assert.deepEqual(outbound?.requestIdExtension?.typedConfig["useRequestIdForTraceSampling"], true);
  assert.equal(snapshot.resourceStates().find(({ origin }) => origin.name === "traces")?.state, "in force");
});

test("headers of exporters take values from variables of the control plane", () => {
  const named = [{ name: "x-token", envName: "TOKEN" }];
  const extensionProviders = [
    { name: "grpc", opentelemetry: { service, port: 4317, grpc: { initialMetadata: named } } },
    { name: "http", opentelemetry: { service, port: 4318, http: { path: "/", headers: named } } },
    { name: "zipkin", zipkin: { service, port: 9411, headers: named } },
  ];
  const sent = (provider: string, environment: Readonly<Record<string, string>>): string => {
    const { inbound } = managers(
      `{tracing: [{providers: [{name: ${provider}}]}]}`,
      { rest: { extensionProviders } },
      environment,
    );
    return /"key":"x-token"(?:,"value":"([^"]*)")?/.exec(JSON.stringify(inbound?.tracing))?.[1] ?? "";
  };
  for (const provider of ["grpc", "http", "zipkin"]) {
    assert.equal(sent(provider, { TOKEN: "s3cret" }), "s3cret", provider);
    assert.equal(sent(provider, {}), "", provider);
  }
});

test("an HTTP exporter has its path, headers and detectors", () => {
  const { inbound } = managers("{tracing: [{providers: [{name: otel-http}], enableIstioTags: false}]}");
  assert.partialDeepStrictEqual(inbound?.tracing, {
    randomSampling: { value: 1 },
    provider: {
      typedConfig: {
        httpService: {
          httpUri: { uri: `${service}/v1/traces`, cluster: `outbound|4318||${service}`, timeout: "3s" },
          requestHeadersToAdd: [{ header: { key: "x-token", value: "t" }, appendAction: "OVERWRITE_IF_EXISTS_OR_ADD" }],
        },
        resourceDetectors: [{ name: "envoy.tracers.opentelemetry.resource_detectors.environment" }],
      },
    },
  });
});

test("Zipkin is the mesh's default provider, with tags of four kinds", () => {
  const { outbound } = managers(
    "{tracing: [{customTags: {a: {literal: {value: x}}, b: {environment: {name: E, defaultValue: d}}, c: {header: {name: h, defaultValue: d}}, f: {formatter: {value: '%PROTOCOL%'}}}, disableContextPropagation: true}]}",
    { rest: { defaultProviders: { tracing: ["zipkin"] } } },
  );
  const tracing = outbound?.tracing;
  assert.partialDeepStrictEqual(tracing, {
    noContextPropagation: true,
    provider: {
      name: "envoy.tracers.zipkin",
      typedConfig: {
        traceId128bit: true,
        sharedSpanContext: false,
        collectorEndpointVersion: "HTTP_JSON",
        traceContextOption: "USE_B3_WITH_W3C_PROPAGATION",
        collectorService: {
          httpUri: { uri: `http://${service}/api/v2/spans`, cluster: `outbound|9411||${service}`, timeout: "5s" },
        },
      },
    },
  });
  const tags = (tracing?.["customTags"] ?? []) as Record<string, unknown>[];
  assert.deepEqual(
    tags.filter(({ tag }) => String(tag).length === 1),
    [
      { tag: "a", literal: { value: "x" } },
      { tag: "b", environment: { name: "E", defaultValue: "d" } },
      { tag: "c", requestHeader: { name: "h", defaultValue: "d" } },
      { tag: "f", value: "%PROTOCOL%" },
    ],
  );
});

test("one side only, or nobody", () => {
  const server = managers("{tracing: [{match: {mode: SERVER}, providers: [{name: otel}]}]}");
  assert.deepEqual([server.outbound?.tracing !== undefined, server.inbound?.tracing !== undefined], [false, true]);
  const off = managers("{tracing: [{providers: [{name: otel}], disableSpanReporting: true}]}");
  assert.deepEqual([off.outbound?.tracing, off.inbound?.tracing], [undefined, undefined]);
});

test("the proxy's own configuration says the sampling and the tags where no Telemetry does", () => {
  const { outbound } = managers("{tracing: [{providers: [{name: zipkin}]}]}", {
    defaultConfig: {
      ...defaultMeshConfig.defaultConfig,
      rest: { tracing: { sampling: 10, maxPathTagLength: 64, customTags: { own: { literal: { value: "o" } } } } },
    },
  });
  assert.partialDeepStrictEqual(outbound?.tracing, { randomSampling: { value: 10 }, maxPathTagLength: 64 });
  assert.equal(literals(outbound?.tracing)["own"], "o");
});

test("a tracer of the old kind, in the proxy's own configuration, needs no provider", () => {
  const defaultConfig = {
    ...defaultMeshConfig.defaultConfig,
    rest: { tracing: { zipkin: { address: "zipkin.tracing:9411" }, sampling: 100 } },
  };
  const { outbound } = managers(undefined, { defaultConfig });
  assert.partialDeepStrictEqual(outbound?.tracing, { randomSampling: { value: 100 } });
  assert.equal(outbound?.tracing?.["provider"], undefined);
  assert.deepEqual(literals(outbound?.tracing), istioTags);
  assert.equal(managers(undefined, { defaultConfig, enableTracing: false }).outbound?.tracing, undefined);
});

for (const [name, type] of [
  ["datadog", "envoy.tracers.datadog"],
  ["skywalking", "envoy.tracers.skywalking"],
]) {
  test(`the provider ${name} is compiled as istiod does it, and said to be written to by nobody`, () => {
    const { outbound, snapshot } = managers(`{tracing: [{providers: [{name: ${name}}]}]}`);
    assert.partialDeepStrictEqual(outbound?.tracing, { provider: { name: type } });
    assert.equal(outbound?.tracing?.["spawnUpstreamSpan"], name === "skywalking" ? true : undefined);
    assert.match(
      snapshot.issues.map(({ message }) => message).join(),
      new RegExp(`provider ${name} is accepted and not`),
    );
  });
}

const useless: readonly [name: string, message: RegExp][] = [
  ["nowhere", /the provider nowhere is the service nobody\.tracing\.svc\.cluster\.local, which does not exist/],
  ["lightstep", /the provider lightstep is accepted and not in force yet: only opentelemetry and zipkin/],
  ["zipkn", /has no provider zipkn/],
];
for (const [name, message] of useless) {
  test(`the provider ${name} gives no spans, and an issue`, () => {
    const { outbound, snapshot } = managers(`{tracing: [{providers: [{name: ${name}}]}]}`);
    assert.equal(outbound?.tracing, undefined);
    const issue = snapshot.issues.find((item) => message.test(item.message));
    assert.equal(issue?.path, "spec.tracing[0].providers[0].name");
  });
}
