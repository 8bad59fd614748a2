import assert from "node:assert/strict";
import { test } from "node:test";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import type { Listener } from "#wire/gen/envoy/config/listener/v3/listener_pb.ts";
import { DownstreamTlsContextSchema } from "#wire/gen/envoy/extensions/transport_sockets/tls/v3/tls_pb.ts";
import { decodeProvenance } from "#wire/xds/provenance.ts";
import { compileClusters, compileListeners, compileProxy } from "../compile.ts";
import { refusals } from "../testing/accepted.ts";
import { mesh, service, sidecarOf, workload } from "../testing/mesh.ts";
import { describeChain, filterNames, httpManager } from "../testing/summary.ts";

const ip = "10.244.0.50";
const ports = [
  { name: "http", number: 80, target: 8080 },
  { name: "tcp", number: 9000 },
  { name: "unknown", number: 9100 },
];
const objects = [service("app", "10.96.0.50", ports), ...workload("app", ports, { ip })];

const peerAuthentication = (mode: string, more = ""): string => `
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: app}
spec:
  selector: {matchLabels: {app: app}}
  mtls: {mode: ${mode}}
${more}`;

function inbound(yaml = "", config = {}): Listener {
  const listener = compileListeners(mesh(objects, yaml, config), sidecarOf("app", ip)).get("virtualInbound");
  return listener ?? assert.fail("no inbound listener");
}

function chainsOf(listener: Listener, port: number): string[] {
  return listener.filterChains
    .filter((chain) => (chain.filterChainMatch?.destinationPort ?? 0) === port)
    .map((chain) => describeChain(chain).replace(/^\S+ /, "").replace(`:${port} `, ""));
}

const meshAlpn = "istio,istio-peer-exchange,istio-http/1.0,istio-http/1.1,istio-h2";
const httpAlpn = "istio-http/1.0,istio-http/1.1,istio-h2";
const http = (port: number): string => `inline route inbound|${port}||`;

/** The matrix of declared protocol and mode. */
const matrix: Record<string, Record<number, string[]>> = {
  PERMISSIVE: {
    8080: [`[tls ${meshAlpn}] ends TLS -> ${http(8080)}`, `[raw_buffer] -> ${http(8080)}`],
    9000: [`[tls ${meshAlpn}] ends TLS -> inbound|9000||`, "[raw_buffer] -> inbound|9000||", "[tls] -> inbound|9000||"],
    9100: [
      `[tls ${httpAlpn}] ends TLS -> ${http(9100)}`,
      `[raw_buffer http/1.0,http/1.1,h2c] -> ${http(9100)}`,
      "[tls istio-peer-exchange,istio] ends TLS -> inbound|9100||",
      "[raw_buffer] -> inbound|9100||",
      "[tls] -> inbound|9100||",
    ],
  },
  STRICT: {
    8080: [`[tls] ends TLS -> ${http(8080)}`],
    9000: ["[tls] ends TLS -> inbound|9000||"],
    9100: [`[tls ${httpAlpn}] ends TLS -> ${http(9100)}`, "[tls] ends TLS -> inbound|9100||"],
  },
  DISABLE: {
    8080: [`[raw_buffer] -> ${http(8080)}`],
    9000: ["[raw_buffer] -> inbound|9000||"],
    9100: [`[raw_buffer http/1.0,http/1.1,h2c] -> ${http(9100)}`, "[raw_buffer] -> inbound|9100||"],
  },
};

for (const [mode, byPort] of Object.entries(matrix)) {
  for (const [port, expected] of Object.entries(byPort)) {
    test(`${mode} on port ${port} has the chains of Istio's table`, () => {
      assert.deepEqual(chainsOf(inbound(peerAuthentication(mode)), Number(port)), expected);
    });
  }
  test(`${mode} also holds for ports that no service names`, () => {
    const chains = chainsOf(inbound(peerAuthentication(mode)), 0);
    assert.deepEqual(
      chains,
      byPort[9100]?.map((chain) => chain.replaceAll("inbound|9100||", "InboundPassthroughCluster")),
    );
  });
}

test("a mode for one port holds there and leaves the others as they are", () => {
  const listener = inbound(
    peerAuthentication("STRICT", "  portLevelMtls: {8080: {mode: DISABLE}, 7777: {mode: DISABLE}}"),
  );
  assert.deepEqual(chainsOf(listener, 8080), [`[raw_buffer] -> ${http(8080)}`]);
  assert.deepEqual(chainsOf(listener, 9000), ["[tls] ends TLS -> inbound|9000||"]);
  assert.deepEqual(chainsOf(listener, 7777), [
    "[raw_buffer http/1.0,http/1.1,h2c] -> inline route InboundPassthroughCluster",
    "[raw_buffer] -> InboundPassthroughCluster",
  ]);
});

test("clients must prove an identity of the mesh's trust domain or an alias of it", () => {
  const listener = inbound(peerAuthentication("STRICT"), { trustDomain: "td1", trustDomainAliases: ["td2"] });
  const socket = listener.filterChains.at(-1)?.transportSocket?.configType;
  const context = socket?.case === "typedConfig" ? anyUnpack(socket.value, DownstreamTlsContextSchema) : undefined;
  assert.equal(context?.requireClientCertificate, true);
  const validation = context?.commonTlsContext?.validationContextType;
  assert.equal(validation?.case, "combinedValidationContext");
  assert.deepEqual(
    validation?.case === "combinedValidationContext" &&
      validation.value.defaultValidationContext?.matchSubjectAltNames.map(({ matchPattern }) => matchPattern.value),
    ["spiffe://td1/", "spiffe://td2/"],
  );
  assert.equal(
    validation?.case === "combinedValidationContext" && validation.value.validationContextSdsSecretConfig?.name,
    "ROOTCA",
  );
  assert.deepEqual(
    context?.commonTlsContext?.tlsCertificateSdsSecretConfigs.map(({ name }) => name),
    ["default"],
  );
});

test("filters stand in Istio's order, authorization before the rest", () => {
  const yaml = `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: allow-get, annotations: {outrigger.dev/source: '{"file":"policy.yaml","line":3,"column":1,"fields":{"spec.rules[0]":[9,5]}}'}}
spec:
  rules: [{to: [{operation: {methods: [GET]}}]}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: deny-admin}
spec:
  action: DENY
  rules: [{to: [{operation: {paths: [/admin]}}]}]
`;
  const listener = inbound(`${yaml}---${peerAuthentication("STRICT")}`);
  const chain = listener.filterChains.find(({ filterChainMatch }) => filterChainMatch?.destinationPort === 8080);
  assert.deepEqual(filterNames(chain), [
    "istio.metadata_exchange",
    "envoy.filters.http.rbac",
    "envoy.filters.http.rbac",
    "envoy.filters.http.grpc_stats",
    "envoy.filters.http.fault",
    "envoy.filters.http.cors",
    "istio.stats",
    "envoy.filters.http.router",
  ]);
  const tcp = listener.filterChains.find(({ filterChainMatch }) => filterChainMatch?.destinationPort === 9000);
  assert.deepEqual(filterNames(tcp), [
    "istio.metadata_exchange",
    "envoy.filters.network.rbac",
    "envoy.filters.network.rbac",
    "istio.stats",
    "envoy.filters.network.tcp_proxy",
  ]);
  const { origins, policies } = decodeProvenance(chain?.metadata?.filterMetadata);
  assert.deepEqual(
    origins.map(({ kind, name }) => `${kind} ${name}`),
    ["PeerAuthentication app", "Service app"],
  );
  assert.deepEqual(policies.get("ns[default]-policy[allow-get]-rule[0]"), {
    kind: "AuthorizationPolicy",
    namespace: "default",
    name: "allow-get",
    file: "policy.yaml",
    line: 9,
  });
  assert.equal(policies.get("ns[default]-policy[deny-admin]-rule[0]")?.name, "deny-admin");
});

test("an inbound request is answered under Istio's name and the caller's certificate is passed on", () => {
  const listener = inbound();
  const manager = httpManager(
    listener.filterChains.find(({ filterChainMatch }) => filterChainMatch?.destinationPort === 8080),
  );
  assert.equal(manager?.statPrefix, "inbound_0.0.0.0_8080;");
  assert.equal(manager?.serverName, "istio-envoy");
  assert.equal(manager?.forwardClientCertDetails, 2);
  assert.equal(manager?.useRemoteAddress, false);
  const routes = manager?.routeSpecifier.case === "routeConfig" ? manager.routeSpecifier.value : undefined;
  const [host] = routes?.virtualHosts ?? [];
  assert.equal(host?.name, "inbound|http|80");
  assert.equal(host?.routes[0]?.decorator?.operation, "app.default.svc.cluster.local:80/*");
});

test("inspectors stay off where the declared protocol leaves nothing to find out", () => {
  const listener = inbound(peerAuthentication("DISABLE"));
  const names = listener.listenerFilters.map(({ name }) => name);
  assert.deepEqual(names, ["envoy.filters.listener.original_dst", "envoy.filters.listener.http_inspector"]);
  const disabled = listener.listenerFilters.at(-1)?.filterDisabled?.rule;
  const ranges =
    disabled?.case === "orMatch"
      ? disabled.value.rules.map(({ rule }) => (rule.case === "destinationPortRange" ? rule.value.start : 0))
      : [];
  assert.deepEqual(ranges, [8080, 9000, 15006]);
});

test("ingress listeners of a Sidecar replace the services' ports", () => {
  const yaml = `
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: app}
spec:
  workloadSelector: {labels: {app: app}}
  ingress:
  - port: {number: 8443, protocol: HTTP, name: api}
    defaultEndpoint: 127.0.0.1:3000
  egress:
  - hosts: ["*/*"]
`;
  const snapshot = mesh(objects, yaml);
  const listener = compileListeners(snapshot, sidecarOf("app", ip)).get("virtualInbound");
  const named = new Set(listener?.filterChains.map(({ filterChainMatch }) => filterChainMatch?.destinationPort));
  assert.deepEqual([...named], [15006, undefined, 8443]);
  const cluster = compileClusters(snapshot, sidecarOf("app", ip)).get("inbound|8443||");
  const endpoint = cluster?.loadAssignment?.endpoints[0]?.lbEndpoints[0]?.hostIdentifier;
  const address = endpoint?.case === "endpoint" ? endpoint.value.address?.address : undefined;
  assert.equal(address?.case === "socketAddress" && address.value.address, "127.0.0.1");
  assert.deepEqual(refusals(compileProxy(snapshot, sidecarOf("app", ip))), []);
});

test("the sidecar connects to the application from 127.0.0.6", () => {
  const cluster = compileClusters(mesh(objects), sidecarOf("app", ip)).get("inbound|8080||");
  assert.equal(cluster?.upstreamBindConfig?.sourceAddress?.address, "127.0.0.6");
});

const sidecarWith = (ingress: string): string => `
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: app}
spec:
  workloadSelector: {labels: {app: app}}
  ingress: [${ingress}]
`;

function applicationAddress(yaml: string, port: number): string {
  const cluster = compileClusters(mesh(objects, yaml), sidecarOf("app", ip)).get(`inbound|${port}||`);
  const endpoint = cluster?.loadAssignment?.endpoints[0]?.lbEndpoints[0]?.hostIdentifier;
  const address = endpoint?.case === "endpoint" ? endpoint.value.address?.address : undefined;
  if (address?.case === "pipe") return address.value.path;
  if (address?.case !== "socketAddress") return "the original destination";
  return `${address.value.address}:${address.value.portSpecifier.value}`;
}

const defaultEndpoints: readonly [endpoint: string, captureMode: string, expected: string][] = [
  ["127.0.0.1:3000", "DEFAULT", "127.0.0.1:3000"],
  ["0.0.0.0:3000", "IPTABLES", `${ip}:3000`],
  ["unix:///run/app.sock", "DEFAULT", "/run/app.sock"],
  ["", "DEFAULT", "the original destination"],
  ["", "NONE", "127.0.0.1:8443"],
];
for (const [endpoint, captureMode, expected] of defaultEndpoints) {
  test(`an ingress listener with defaultEndpoint "${endpoint}" and captureMode ${captureMode} leads to ${expected}`, () => {
    const listener = `{port: {number: 8443, protocol: HTTP, name: api}, defaultEndpoint: "${endpoint}", captureMode: ${captureMode}}`;
    assert.equal(applicationAddress(sidecarWith(listener), 8443), expected);
  });
}

test("an ingress listener that is not captured binds its port on the pod's address or the one it names", () => {
  const yaml = sidecarWith(`
    {port: {number: 8443, protocol: HTTP, name: api}, captureMode: NONE, defaultEndpoint: "127.0.0.1:3000"},
    {port: {number: 8444, protocol: TCP, name: raw}, captureMode: NONE, bind: 0.0.0.0, defaultEndpoint: "127.0.0.1:3001"},
    {port: {number: 8445, protocol: TCP, name: taken}}`);
  const snapshot = mesh(objects, `${yaml}---${peerAuthentication("STRICT")}`);
  const compiled = compileProxy(snapshot, sidecarOf("app", ip));
  const inboundNames = [...compiled.listeners.values()].filter(({ trafficDirection }) => trafficDirection === 1);
  assert.deepEqual(
    inboundNames.map(({ name, bindToPort }) => `${name} ${bindToPort ?? true}`),
    ["virtualInbound true", `${ip}_8443 true`, "0.0.0.0_8444 true"],
  );
  const bound = compiled.listeners.get(`${ip}_8443`) ?? assert.fail("not bound");
  assert.deepEqual(chainsOf(bound, 8443), [`[tls] ends TLS -> ${http(8443)}`]);
  assert.deepEqual(
    bound.listenerFilters.map(({ name }) => name),
    ["envoy.filters.listener.tls_inspector"],
  );
  assert.deepEqual(refusals(compiled), []);
});

test("without capture only a Sidecar says where to listen", () => {
  const proxy = sidecarOf("app", ip, { interceptionMode: "NONE" });
  const names = (yaml: string): string[] =>
    [...compileListeners(mesh(objects, yaml), proxy).values()]
      .filter(({ trafficDirection }) => trafficDirection === 1)
      .map(({ name }) => name);
  assert.deepEqual(names(""), []);
  assert.deepEqual(names(sidecarWith("{port: {number: 8443, protocol: HTTP, name: api}}")), [`${ip}_8443`]);
});

const tlsMatrix: readonly [protocol: string, mode: string, chains: string[]][] = [
  ["HTTPS", "DISABLE", [`[tls] ends TLS -> ${http(8443)}`]],
  ["TLS", "DISABLE", ["[tls] ends TLS -> inbound|8443||"]],
  ["HTTPS", "STRICT", [`[tls] ends TLS -> ${http(8443)}`]],
];
for (const [protocol, mode, chains] of tlsMatrix) {
  test(`an ingress listener ${protocol} with tls of its own and mutual TLS ${mode}`, () => {
    const files = "serverCertificate: /certs/tls.crt, privateKey: /certs/tls.key, caCertificates: /certs/ca.crt";
    const yaml = sidecarWith(
      `{port: {number: 8443, protocol: ${protocol}, name: api}, tls: {mode: MUTUAL, ${files}}, defaultEndpoint: "127.0.0.1:3000"}`,
    );
    const snapshot = mesh(objects, `${yaml}---${peerAuthentication(mode)}`);
    const listener = compileListeners(snapshot, sidecarOf("app", ip)).get("virtualInbound") ?? assert.fail("missing");
    assert.deepEqual(chainsOf(listener, 8443), chains);
    const socket = listener.filterChains.at(-1)?.transportSocket?.configType;
    const context = socket?.case === "typedConfig" ? anyUnpack(socket.value, DownstreamTlsContextSchema) : undefined;
    assert.deepEqual(
      context?.commonTlsContext?.tlsCertificateSdsSecretConfigs.map(({ name }) => name),
      // Where mutual TLS is in force it stays, and the Sidecar is said to have no effect there.
      mode === "DISABLE" ? ["file-cert:/certs/tls.crt~/certs/tls.key"] : ["default"],
    );
    assert.equal(
      snapshot.issues.some(({ message }) => message.startsWith("tls has no effect while mutual TLS is")),
      mode !== "DISABLE",
    );
    assert.deepEqual(refusals(compileProxy(snapshot, sidecarOf("app", ip))), []);
  });
}
