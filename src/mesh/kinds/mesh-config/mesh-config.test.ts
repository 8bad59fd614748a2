import assert from "node:assert/strict";
import { test } from "node:test";
import { defaultMeshConfig, parseMeshConfig } from "./decode.ts";
import { unsetVariables } from "./providers.ts";

test("an empty text gives the defaults", () => {
  const { meshConfig, issues } = parseMeshConfig("");
  assert.deepEqual(issues, []);
  assert.equal(meshConfig, defaultMeshConfig);
  assert.equal(meshConfig.rootNamespace, "istio-system");
  assert.equal(meshConfig.connectTimeout, 10_000);
  assert.equal(meshConfig.enableAutoMtls, true);
  assert.equal(meshConfig.outboundTrafficPolicy.mode, "ALLOW_ANY");
  assert.equal(meshConfig.defaultConfig.terminationDrainDuration, 5_000);
});

test("a wrong field costs itself and keeps its default", () => {
  const { meshConfig, issues } = parseMeshConfig("connectTimeout: soon\naccessLogFile: /dev/stdout\n");
  assert.equal(meshConfig.connectTimeout, 10_000);
  assert.equal(meshConfig.accessLogFile, "/dev/stdout");
  assert.deepEqual(
    issues.map((issue) => [issue.severity, issue.path]),
    [["error", "connectTimeout"]],
  );
});

test("fields that have no effect yet are said to have none, unknown ones get a suggestion", () => {
  const { meshConfig, issues } = parseMeshConfig(
    "extensionProviders: [{ name: a, datadog: { service: a.b, port: 1 } }, { name: b, envoyExtAuthzGrpc: { service: a.b, port: 1 } }]\nacessLogFile: a\ndefaultConfig: { statNameLength: 1, holdApplicationUntilProxyStarts: true }\n",
  );
  assert.equal(meshConfig.defaultConfig.holdApplicationUntilProxyStarts, true);
  assert.deepEqual(Object.keys(meshConfig.rest).sort(), ["acessLogFile", "extensionProviders"]);
  assert.deepEqual(
    issues.map((issue) => [issue.severity, issue.path, issue.fix]),
    [
      ["info", "defaultConfig.statNameLength", undefined],
      ["info", "extensionProviders[0]", undefined],
      ["warning", "acessLogFile", 'did you mean "accessLogFile"?'],
    ],
  );
});

test("text that is not YAML is one issue and the defaults", () => {
  const { meshConfig, issues } = parseMeshConfig("a: [");
  assert.equal(meshConfig, defaultMeshConfig);
  assert.equal(issues.length, 1);
});

test("a field that nothing asks for yet is reported, one that is looked at elsewhere is not", () => {
  const { issues } = parseMeshConfig(`
hboneIdleTimeout: 3s
connectTimeout: 3s
defaultConfig:
  gatewayTopology: { numTrustedProxies: 1 }
`);
  assert.deepEqual(
    issues.map(({ code, path }) => [code, path]),
    [["OUT0003", "hboneIdleTimeout"]],
  );
});

test("of fields that Istio does not heed either it is said what holds instead", () => {
  const told = (yaml: string): string[] =>
    parseMeshConfig(yaml).issues.map(({ path, message }) => `${path}: ${message}`);
  assert.deepEqual(told("verifyCertificateAtClient: true"), []);
  assert.match(
    told("verifyCertificateAtClient: false").join(),
    /^verifyCertificateAtClient: .*insecureSkipVerify of the rule/,
  );
  assert.match(
    told("ca: { address: a:1, istiodSide: true }").join(),
    /^ca: has no effect, as in Istio: .*Secret cacerts/,
  );
});

test("roots of caCertificates are read with their signers; what cannot be taken over is told", () => {
  const { meshConfig, issues } = parseMeshConfig(`
caCertificates:
  - { pem: "-----BEGIN CERTIFICATE-----", certSigners: [issuers/mesh] }
  - { pem: nothing }
  - { spiffeBundleUrl: "https://spire.example/bundle" }
`);
  assert.deepEqual(meshConfig.caCertificates[0]?.certSigners, ["issuers/mesh"]);
  assert.deepEqual(
    issues.map(({ path }) => path),
    ["caCertificates[1].pem", "caCertificates[2].spiffeBundleUrl"],
  );
});

test("headers of providers that name a variable which the control plane has not are told", () => {
  const { meshConfig } = parseMeshConfig(`
extensionProviders:
- { name: otel, opentelemetry: { service: a.b, port: 1, grpc: { initialMetadata: [{ name: a, value: b }, { name: t, envName: TOKEN }] } } }
- { name: zipkin, zipkin: { service: a.b, port: 1, headers: [{ name: t, envName: TOKEN }] } }
- { name: http, opentelemetry: { service: a.b, port: 1, http: { path: /, headers: [{ name: t, envName: OTHER }] } } }
`);
  const told = (environment: Record<string, string>): unknown[] =>
    unsetVariables(meshConfig, environment).map(({ path }) => path);
  assert.deepEqual(told({ OTHER: "" }), [
    "extensionProviders[0].opentelemetry.grpc.initialMetadata[1].envName",
    "extensionProviders[1].zipkin.headers[0].envName",
  ]);
  assert.deepEqual(told({ TOKEN: "x" }), ["extensionProviders[2].opentelemetry.http.headers[0].envName"]);
});

test("providers: what of them has no effect is said, and defaults that nobody added", () => {
  const { issues } = parseMeshConfig(`
extensionProviders:
- name: otel
  opentelemetry:
    service: a.b
    port: 4317
    grpc: { initialMetadata: [{ name: a, value: b }, { name: token, envName: TOKEN }] }
    dynatraceSampler: { tenant: t, clusterId: 1 }
    resourceDetectors: { environment: {}, dynatrace: {} }
- { name: zipkin, zipkin: { service: a.b, port: 1, headers: [{ name: token, envName: TOKEN }] } }
defaultProviders: { tracing: [otl], metrics: [prometheus], accessLogging: [envoy, otel] }
defaultConfig: { tracing: { datadog: {}, zipkin: { address: "a:1" }, sampling: 5 } }
`);
  assert.deepEqual(
    issues.map(({ code, path, fix }) => [code, path, fix]),
    [
      ["OUT0003", "defaultConfig.tracing.datadog", undefined],
      ["OUT0003", "extensionProviders[0].opentelemetry.dynatraceSampler", undefined],
      ["OUT0003", "extensionProviders[0].opentelemetry.resourceDetectors.dynatrace", undefined],
      ["OUT0006", "defaultProviders.tracing[0]", 'did you mean "otel"?'],
    ],
  );
});

test("settings that keep clusters apart hold by themselves in one", () => {
  const { issues } = parseMeshConfig(`
serviceSettings: [{settings: {clusterLocal: true}, hosts: ["*.a.svc.cluster.local"]}]
serviceScopeConfigs: [{scope: LOCAL, servicesSelector: {matchLabels: {a: b}}}]
`);
  assert.deepEqual(issues, []);
});

test("what Istio refuses in mesh configuration is refused at its field, and providers are warned of", () => {
  const rows: Readonly<Record<string, string>> = {
    "proxyListenPort: 0": "E proxyListenPort",
    "connectTimeout: 0s": "E connectTimeout",
    "connectTimeout: 1.5ms": "E connectTimeout",
    "connectTimeout: 3601s": "E connectTimeout",
    "connectTimeout: 3600s": "",
    "protocolDetectionTimeout: 0s": "",
    "protocolDetectionTimeout: 1.5ms": "E protocolDetectionTimeout",
    "trustDomain: ''": "E trustDomain",
    "trustDomain: a_b": "E trustDomain",
    "trustDomain: 10.0.0.1": "",
    "trustDomain: example.com.": "",
    "trustDomainAliases: [ok, a_b]": "E trustDomainAliases[1]",
    "localityLbSetting: { failover: [{ from: a, to: a }] }": "E localityLbSetting.failover[0]",
    "localityLbSetting: { distribute: [{ from: a, to: { b: 90 } }] }": "E localityLbSetting.distribute[0].to",
    "localityLbSetting: { failover: [{ from: a, to: b }] }": "",
    "serviceSettings: [{ hosts: ['*.global', a.*.b] }]": "E serviceSettings[0].hosts[1]",
    "meshMTLS: { ecdhCurves: [P-256] }": "E meshMTLS.ecdhCurves",
    "defaultConfig: { configPath: '' }": "E defaultConfig.configPath",
    "defaultConfig: { serviceCluster: '' }": "E defaultConfig.serviceCluster",
    "defaultConfig: { drainDuration: 1.5s }": "E defaultConfig.drainDuration",
    "defaultConfig: { drainDuration: 0s }": "E defaultConfig.drainDuration",
    "defaultConfig: { discoveryAddress: istiod.istio-system.svc }": "E defaultConfig.discoveryAddress",
    "defaultConfig: { discoveryAddress: 'istiod:0' }": "E defaultConfig.discoveryAddress",
    "defaultConfig: { discoveryAddress: '[::1]:15012' }": "",
    "defaultConfig: { proxyAdminPort: 0 }": "E defaultConfig.proxyAdminPort",
    "defaultConfig: { statusPort: 70000 }": "E defaultConfig.statusPort",
    "defaultConfig: { statsdUdpAddress: 'statsd.a:9125' }": "I defaultConfig.statsdUdpAddress",
    "defaultConfig: { statsdUdpAddress: statsd }": "E defaultConfig.statsdUdpAddress, I defaultConfig.statsdUdpAddress",
    "defaultConfig: { tracing: { zipkin: { address: zipkin } } }": "E defaultConfig.tracing.zipkin.address",
    "defaultConfig: { tracing: { zipkin: { address: '$(HOST_IP):9411' } } }": "",
    "extensionProviders: [{ prometheus: {} }]": "W extensionProviders[0]",
    "extensionProviders: [{ name: a, prometheus: {} }, { name: a, prometheus: {} }]": "W extensionProviders[1].name",
    "extensionProviders: [{ name: a, zipkin: { service: a.b, port: 0 } }]": "W extensionProviders[0].zipkin.port",
    "extensionProviders: [{ name: a, zipkin: { service: x/a.b, port: 1 } }]": "",
    "extensionProviders: [{ name: a, zipkin: { service: x/y/a.b, port: 1 } }]":
      "W extensionProviders[0].zipkin.service",
    "extensionProviders: [{ name: a, envoyExtAuthzGrpc: { port: 1 } }]":
      "W extensionProviders[0].envoyExtAuthzGrpc.service",
    "extensionProviders: [{ name: a, envoyExtAuthzGrpc: { service: a.b, port: 1, statusOnError: '299' } }]":
      "W extensionProviders[0].envoyExtAuthzGrpc.statusOnError",
    "extensionProviders: [{ name: a, envoyExtAuthzHttp: { service: a.b, port: 1, statusOnError: '503', pathPrefix: x } }]":
      "W extensionProviders[0].envoyExtAuthzHttp.pathPrefix",
    "extensionProviders: [{ name: a, opentelemetry: { service: a.b, port: 1, http: { path: / }, grpc: {} } }]":
      "W extensionProviders[0].opentelemetry.grpc",
  };
  const told = (yaml: string): string =>
    parseMeshConfig(yaml)
      .issues.map(({ severity, path }) => `${severity[0]?.toUpperCase()} ${path}`)
      .join(", ");
  assert.deepEqual(Object.fromEntries(Object.keys(rows).map((yaml) => [yaml, told(yaml)])), rows);
  const { meshConfig } = parseMeshConfig("trustDomain: a_b\ndefaultConfig: { discoveryAddress: nowhere }");
  assert.deepEqual(
    [meshConfig.trustDomain, meshConfig.defaultConfig.discoveryAddress],
    ["cluster.local", "istiod.istio-system.svc:15012"],
  );
});
