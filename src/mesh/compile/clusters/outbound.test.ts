import assert from "node:assert/strict";
import { test } from "node:test";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import { type Cluster, Cluster_LbPolicy } from "#wire/gen/envoy/config/cluster/v3/cluster_pb.ts";
import type { TransportSocket } from "#wire/gen/envoy/config/core/v3/base_pb.ts";
import {
  type UpstreamTlsContext,
  UpstreamTlsContextSchema,
} from "#wire/gen/envoy/extensions/transport_sockets/tls/v3/tls_pb.ts";
import {
  type HttpProtocolOptions,
  HttpProtocolOptionsSchema,
} from "#wire/gen/envoy/extensions/upstreams/http/v3/http_protocol_options_pb.ts";
import { decodeProvenance } from "#wire/xds/provenance.ts";
import { compileClusters, compileEndpoints, compileProxy } from "../compile.ts";
import { refusals } from "../testing/accepted.ts";
import { bookinfo, ingressGateway, mesh, service, sidecarOf, workload } from "../testing/mesh.ts";
import { describeCluster } from "../testing/summary.ts";

const client = sidecarOf("productpage", "10.244.0.11");
const reviews = "reviews.default.svc.cluster.local";

function clusterOf(yaml: string, name: string, config = {}): Cluster {
  const snapshot = mesh(bookinfo, yaml, config);
  assert.deepEqual(refusals(compileProxy(snapshot, client)), []);
  return compileClusters(snapshot, client).get(name) ?? assert.fail(`no cluster ${name}`);
}

function tlsOf(socket: TransportSocket | undefined): UpstreamTlsContext {
  const config = socket?.configType;
  const context = config?.case === "typedConfig" ? anyUnpack(config.value, UpstreamTlsContextSchema) : undefined;
  return context ?? assert.fail("no TLS");
}

function namesOf(context: UpstreamTlsContext): unknown[] {
  const validation = context.commonTlsContext?.validationContextType;
  const combined = validation?.case === "combinedValidationContext" ? validation.value : undefined;
  return combined?.defaultValidationContext?.matchSubjectAltNames.map(({ matchPattern }) => matchPattern.value) ?? [];
}

function protocolOf(cluster: Cluster): HttpProtocolOptions["upstreamProtocolOptions"] | undefined {
  const packed = cluster.typedExtensionProtocolOptions["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"];
  return packed && anyUnpack(packed, HttpProtocolOptionsSchema)?.upstreamProtocolOptions;
}

const rule = (policy: string, subsets = ""): string => `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews, annotations: {outrigger.dev/source: '{"file":"reviews.yaml","line":12,"column":1,"fields":{}}'}}
spec:
  host: reviews
  trafficPolicy: ${policy}
  ${subsets}
`;

test("without a rule mutual TLS is chosen per endpoint, with Istio's SNI and the service's identities", () => {
  const cluster = clusterOf("", `outbound|9080||${reviews}`);
  assert.deepEqual(
    cluster.transportSocketMatches.map(({ name, match }) => [name, match]),
    [
      ["tlsMode-istio", { tlsMode: "istio" }],
      ["tlsMode-disabled", {}],
    ],
  );
  const context = tlsOf(cluster.transportSocketMatches[0]?.transportSocket);
  assert.equal(context.sni, `outbound_.9080_._.${reviews}`);
  assert.deepEqual(context.commonTlsContext?.alpnProtocols, ["istio-peer-exchange", "istio"]);
  assert.deepEqual(namesOf(context), ["spiffe://cluster.local/ns/default/sa/bookinfo-reviews"]);
  assert.equal(cluster.lbPolicy, Cluster_LbPolicy.LEAST_REQUEST);
  assert.equal(cluster.connectTimeout?.seconds, 10n);
  assert.equal(cluster.altStatName, `outbound|9080||${reviews};`);
  assert.equal(cluster.circuitBreakers?.thresholds[0]?.maxConnections, 0xffff_ffff);
});

const tlsTable: Record<string, string> = {
  "{tls: {mode: DISABLE}}": "EDS plaintext",
  "{tls: {mode: SIMPLE}}": "EDS envoy.transport_sockets.tls",
  "{tls: {mode: ISTIO_MUTUAL}}": "EDS envoy.transport_sockets.tls",
  "{tls: {mode: MUTUAL, clientCertificate: /c.pem, privateKey: /k.pem}}": "EDS envoy.transport_sockets.tls",
  "{loadBalancer: {simple: RANDOM}}": "EDS tlsMode-istio,tlsMode-disabled",
  "{loadBalancer: {simple: PASSTHROUGH}}": "ORIGINAL_DST envoy.transport_sockets.tls",
  "{portLevelSettings: [{port: {number: 9080}, tls: {mode: DISABLE}}]}": "EDS plaintext",
  "{portLevelSettings: [{port: {number: 1}, tls: {mode: DISABLE}}]}": "EDS tlsMode-istio,tlsMode-disabled",
};

for (const [policy, expected] of Object.entries(tlsTable)) {
  test(`a rule with ${policy} gives ${expected}`, () => {
    assert.equal(describeCluster(clusterOf(rule(policy), `outbound|9080||${reviews}`)), expected);
  });
}

test("TLS that a rule originates verifies the platform's roots, takes its SNI from the request, and says so", () => {
  const cluster = clusterOf(rule("{tls: {mode: SIMPLE}}"), `outbound|9080||${reviews}`);
  const validation = tlsOf(cluster.transportSocket).commonTlsContext?.validationContextType;
  assert.equal(
    validation?.case === "combinedValidationContext" && validation.value.validationContextSdsSecretConfig?.name,
    "file-root:system",
  );
  assert.equal(cluster.metadata?.filterMetadata["istio"]?.["alpn_override"], "false");
});

test("a subset without TLS settings keeps the rule's, and a subset's own replace them", () => {
  const yaml = rule(
    "{tls: {mode: DISABLE}, connectionPool: {tcp: {connectTimeout: 3s, maxConnections: 7}}}",
    "subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}, trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}}]",
  );
  const v1 = clusterOf(yaml, `outbound|9080|v1|${reviews}`);
  assert.equal(describeCluster(v1), "EDS plaintext");
  assert.equal(v1.connectTimeout?.seconds, 3n);
  assert.equal(v1.circuitBreakers?.thresholds[0]?.maxConnections, 7);
  const v2 = clusterOf(yaml, `outbound|9080|v2|${reviews}`);
  assert.equal(tlsOf(v2.transportSocket).sni, `outbound_.9080_.v2_.${reviews}`);
  assert.equal(v2.metadata?.filterMetadata["istio"]?.["subset"], "v2");
});

test("a cluster says which rule and service it comes from", () => {
  const { metadata } = clusterOf(rule("{loadBalancer: {simple: ROUND_ROBIN}}"), `outbound|9080||${reviews}`);
  assert.equal(
    metadata?.filterMetadata["istio"]?.["config"],
    "/apis/networking.istio.io/v1/namespaces/default/destination-rule/reviews",
  );
  assert.deepEqual(metadata?.filterMetadata["istio"]?.["services"], [
    { host: reviews, name: "reviews", namespace: "default" },
  ]);
  assert.deepEqual(decodeProvenance(metadata?.filterMetadata).origins, [
    { kind: "DestinationRule", namespace: "default", name: "reviews", file: "reviews.yaml", line: 12 },
    { kind: "Service", namespace: "default", name: "reviews" },
  ]);
});

test("a headless service is called over mutual TLS when all its pods take it, else in plaintext", () => {
  const ports = [{ name: "http", number: 9080 }];
  const pod = (ip: string, sidecar: boolean) => workload("store", ports, { ip, sidecar });
  const name = "outbound|9080||store.default.svc.cluster.local";
  const kind = (...pods: ReturnType<typeof pod>[]): string =>
    describeCluster(compileClusters(mesh([service("store", "None", ports), ...pods.flat()]), client).get(name));
  assert.equal(kind(pod("10.244.0.71", true)), "ORIGINAL_DST envoy.transport_sockets.tls");
  assert.equal(kind(pod("10.244.0.71", true), pod("10.244.0.72", false)), "ORIGINAL_DST plaintext");
  assert.equal(kind(), "ORIGINAL_DST plaintext");
});

test("a service whose workloads refuse mutual TLS is called in plaintext", () => {
  const yaml = `
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default}
spec: {mtls: {mode: DISABLE}}
`;
  assert.equal(describeCluster(clusterOf(yaml, `outbound|9080||${reviews}`)), "EDS plaintext");
  assert.equal(describeCluster(clusterOf("", `outbound|9080||${reviews}`, { enableAutoMtls: false })), "EDS plaintext");
});

test("the protocol upstream follows the declared protocol, and where none is declared the client's", () => {
  const ports = [
    { name: "http", number: 80 },
    { name: "grpc", number: 81 },
    { name: "any", number: 82 },
  ];
  const snapshot = mesh([service("api", "10.96.0.90", ports), ...workload("api", ports, { ip: "10.244.0.90" })]);
  const clusters = compileClusters(snapshot, client);
  const kind = (port: number): string | undefined =>
    protocolOf(clusters.get(`outbound|${port}||api.default.svc.cluster.local`) ?? assert.fail())?.case;
  assert.equal(kind(80), undefined);
  assert.equal(kind(81), "explicitHttpConfig");
  assert.equal(kind(82), "useDownstreamProtocolConfig");
  const grpc = clusters.get("outbound|81||api.default.svc.cluster.local");
  assert.deepEqual(tlsOf(grpc?.transportSocketMatches[0]?.transportSocket).commonTlsContext?.alpnProtocols, [
    "istio-peer-exchange",
    "istio",
    "h2",
  ]);
});

const entry = (spec: string): string => `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: api}
spec: {hosts: [api.example.com], ports: [{number: 80, name: http, protocol: HTTP}], ${spec}}
`;

const entryTable: [string, string, string][] = [
  ["resolution: STATIC, endpoints: [{address: 192.0.2.1}]", "EDS plaintext", "EDS plaintext"],
  ["resolution: DNS", "STRICT_DNS plaintext", "STRICT_DNS plaintext"],
  ["resolution: DNS_ROUND_ROBIN", "LOGICAL_DNS plaintext", "LOGICAL_DNS plaintext"],
  ["resolution: NONE", "ORIGINAL_DST plaintext", "EDS plaintext"],
  [
    "resolution: STATIC, location: MESH_INTERNAL, endpoints: [{address: 192.0.2.1}]",
    "EDS tlsMode-istio,tlsMode-disabled",
    "EDS tlsMode-istio,tlsMode-disabled",
  ],
];

for (const [spec, onSidecar, onGateway] of entryTable) {
  test(`an entry with ${spec} is ${onSidecar} on a sidecar and ${onGateway} on a gateway`, () => {
    const snapshot = mesh(bookinfo, entry(spec));
    const name = "outbound|80||api.example.com";
    assert.equal(describeCluster(compileClusters(snapshot, client).get(name)), onSidecar);
    assert.equal(describeCluster(compileClusters(snapshot, ingressGateway()).get(name)), onGateway);
    assert.deepEqual(refusals(compileProxy(snapshot, client)), []);
  });
}

test("a DNS entry without endpoints resolves its own host", () => {
  const cluster = clusterOf(entry("resolution: DNS"), "outbound|80||api.example.com");
  const host = cluster.loadAssignment?.endpoints[0]?.lbEndpoints[0]?.hostIdentifier;
  const address = host?.case === "endpoint" ? host.value.address?.address : undefined;
  assert.equal(address?.case === "socketAddress" && address.value.address, "api.example.com");
  assert.equal(cluster.metadata?.filterMetadata["istio"]?.["external"], true);
});

test("endpoints carry workload, weight, health and mutual TLS, grouped by locality", () => {
  const ports = [{ name: "http", number: 9080 }];
  const snapshot = mesh([
    service("mixed", "10.96.0.91", ports),
    ...workload("mixed", ports, { ip: "10.244.0.91" }),
    ...workload("mixed", ports, { ip: "10.244.0.92", sidecar: false, ready: false }),
  ]);
  const name = "outbound|9080||mixed.default.svc.cluster.local";
  const assignment = compileEndpoints(snapshot, client, [name]).get(name);
  assert.equal(assignment?.endpoints.length, 1);
  assert.equal(assignment?.endpoints[0]?.loadBalancingWeight, 2);
  const [meshed, plain] = assignment?.endpoints[0]?.lbEndpoints ?? [];
  assert.match(
    String(meshed?.metadata?.filterMetadata["istio"]?.["workload"]),
    /^mixed[^;]*;default;mixed;v1;Kubernetes$/,
  );
  assert.equal(meshed?.healthStatus, 1);
  assert.equal(plain?.healthStatus, 2);
  assert.equal(plain?.metadata?.filterMetadata["envoy.transport_socket_match"], undefined);
});

test("statistics call clusters as mesh configuration says", () => {
  const pattern =
    "%SERVICE%|%SERVICE_FQDN%|%SERVICE_NAME%|%SERVICE_PORT%|%SERVICE_PORT_NAME%|%TARGET_PORT%|%SUBSET_NAME%|%OTHER%";
  const rule = `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews}
spec: {host: reviews, subsets: [{name: v1, labels: {version: v1}}]}
`;
  const name = (text: string, cluster: string, config = {}): string => clusterOf(text, cluster, config).altStatName;
  assert.equal(
    name(rule, `outbound|9080|v1|${reviews}`, { outboundClusterStatName: pattern }),
    `reviews.default|${reviews}|reviews|9080|http|9080|v1|%OTHER%;`,
  );
  assert.equal(name("", `outbound|9080||${reviews}`), `outbound|9080||${reviews};`);
  assert.equal(
    name("", "inbound|9080||", { inboundClusterStatName: "%SERVICE%_%TARGET_PORT%_%SERVICE_PORT_NAME%" }),
    "productpage.default_9080_http;",
  );
});
