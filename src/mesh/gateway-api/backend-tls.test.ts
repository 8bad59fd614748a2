import assert from "node:assert/strict";
import { test } from "node:test";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import { UpstreamTlsContextSchema } from "#wire/gen/envoy/extensions/transport_sockets/tls/v3/tls_pb.ts";
import { selfSigned } from "#wire/x509/testing/self-signed.ts";
import type { BuiltSnapshot } from "../snapshot/build.ts";
import { proxy } from "../snapshot/testing/mesh-from-yaml.ts";
import { compiled, gatewayMesh } from "./testing/gateway-mesh.ts";

function policy(name: string, targets: string, validation: string, created = 1): string {
  return `
apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {name: ${name}, creationTimestamp: "2026-01-0${created}T00:00:00Z"}
spec: {targetRefs: [${targets}], validation: {${validation}}}
`;
}

const service = (name: string, port = ""): string =>
  `{group: "", kind: Service, name: ${name}${port === "" ? "" : `, sectionName: ${port}`}}`;
const system = "wellKnownCACertificates: System, hostname: a.example.com";

/** `sni names roots` of the TLS to a port of a service, or `plaintext`, or `mesh`. */
function tlsTo(snapshot: BuiltSnapshot, name: string, port: number): string {
  const cluster = compiled(snapshot, proxy()).clusters.get(`outbound|${port}||${name}.default.svc.cluster.local`);
  const socket = cluster?.transportSocket?.configType;
  if (socket?.case !== "typedConfig") return cluster?.transportSocketMatches.length ? "mesh" : "plaintext";
  const context = anyUnpack(socket.value, UpstreamTlsContextSchema);
  const validation = context?.commonTlsContext?.validationContextType;
  if (validation?.case !== "combinedValidationContext") return "not verified";
  const names = (validation.value.defaultValidationContext?.matchSubjectAltNames ?? []).map(
    ({ matchPattern }) => matchPattern.value,
  );
  return `${context?.sni} ${names.join()} ${validation.value.validationContextSdsSecretConfig?.name}`;
}

function conditionsOf(snapshot: BuiltSnapshot, name: string): string[] {
  const status = snapshot
    .gatewayApiStatuses()
    .find((item) => item.kind === "BackendTLSPolicy" && item.name === name)?.status;
  const ancestors = status?.["ancestors"] as { conditions: { type: string; status: string; reason: string }[] }[];
  return ancestors.map(({ conditions }) =>
    conditions.map((item) => `${item.type}=${item.status}(${item.reason})`).join(" "),
  );
}

test("a backend is reached over TLS: server name, names of its certificate, the system's or the policy's roots", () => {
  const snapshot = gatewayMesh(
    policy("one", service("a"), system),
    policy(
      "two",
      service("b"),
      'caCertificateRefs: [{group: "", kind: ConfigMap, name: ca}], hostname: b.example.com, subjectAltNames: [{type: Hostname, hostname: c.example.com}, {type: URI, uri: "spiffe://x/y"}]',
    ),
  );
  assert.equal(tlsTo(snapshot, "a", 80), "a.example.com a.example.com file-root:system");
  assert.equal(tlsTo(snapshot, "b", 80), "b.example.com c.example.com,spiffe://x/y configmap://default/ca-cacert");
  assert.equal(tlsTo(snapshot, "c", 80), "mesh");
  assert.deepEqual(conditionsOf(snapshot, "one"), ["Accepted=True(Accepted) ResolvedRefs=True(ResolvedRefs)"]);
});

test("a policy for one port leaves the others, and stands over one for the whole Service", () => {
  const port = gatewayMesh(policy("one", service("a", "http"), system));
  assert.equal(tlsTo(port, "a", 80), "a.example.com a.example.com file-root:system");
  assert.equal(tlsTo(port, "a", 90), "mesh");
  const both = gatewayMesh(
    policy("one", service("a", "http"), system),
    policy("two", service("a"), system.replace("a.example", "w.example")),
  );
  assert.equal(tlsTo(both, "a", 80), "a.example.com a.example.com file-root:system");
  assert.equal(tlsTo(both, "a", 90), "w.example.com w.example.com file-root:system");
});

test("of two policies for the same ports the older one counts, and the other says so", () => {
  const snapshot = gatewayMesh(
    policy("late", service("a"), system.replace("a.example", "late.example"), 2),
    policy("early", service("a"), system, 1),
  );
  assert.equal(tlsTo(snapshot, "a", 80), "a.example.com a.example.com file-root:system");
  assert.deepEqual(conditionsOf(snapshot, "late"), ["Accepted=False(Conflicted) ResolvedRefs=True(ResolvedRefs)"]);
  assert.equal(snapshot.resourceStates().find(({ origin }) => origin.name === "late")?.state, "matches nothing");
});

test("targets and roots that are not there are told; a backend that cannot be verified is not reached", () => {
  const snapshot = gatewayMesh(
    policy("gone", `${service("nothing")}, ${service("a", "none")}, {group: x, kind: Thing, name: z}`, system),
    policy("roots", service("b"), 'caCertificateRefs: [{group: "", kind: Pod, name: ca}], hostname: b.example.com'),
  );
  assert.deepEqual(
    conditionsOf(snapshot, "gone"),
    [1, 2, 3].map(() => "Accepted=False(TargetNotFound) ResolvedRefs=True(ResolvedRefs)"),
  );
  assert.deepEqual(conditionsOf(snapshot, "roots"), [
    "Accepted=False(NoValidCACertificate) ResolvedRefs=False(InvalidKind)",
  ]);
  assert.equal(tlsTo(snapshot, "b", 80), "b.example.com b.example.com invalid://-cacert");
});

test("GHSA-qm8v-g4f9-qhjx roots that are missing or none never make a backend plaintext", () => {
  for (const refs of [
    '[{group: "", kind: ConfigMap, name: gone}]',
    '[{group: "", kind: ConfigMap, name: empty}]',
    '[{group: "", kind: Secret, name: gone}]',
    "[{group: x, kind: Bundle, name: gone}]",
    '[{group: "", kind: ConfigMap, name: gone}, {group: "", kind: Pod, name: b}]',
  ]) {
    const empty = `
apiVersion: v1
kind: ConfigMap
metadata: {name: empty}
data: {other: text}
`;
    const snapshot = gatewayMesh(
      empty,
      policy("p", service("b"), `caCertificateRefs: ${refs}, hostname: b.example.com`),
    );
    const tls = tlsTo(snapshot, "b", 80);
    assert.match(tls, /^b\.example\.com b\.example\.com (configmap|kubernetes-gateway|invalid):\/\//, refs);
  }
});

test("what a DestinationRule says stands, and TLS that it leaves open is the policy's", () => {
  const rule = (trafficPolicy: string): string => `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a}
spec: {host: a, trafficPolicy: ${trafficPolicy}}
`;
  const pool = "connectionPool: {tcp: {maxConnections: 7}}";
  const open = gatewayMesh(
    policy("one", service("a"), system),
    rule(`{${pool}, portLevelSettings: [{port: {number: 90}, ${pool}}]}`),
  );
  for (const port of [80, 90]) {
    assert.equal(tlsTo(open, "a", port), "a.example.com a.example.com file-root:system");
    const cluster = compiled(open, proxy()).clusters.get(`outbound|${port}||a.default.svc.cluster.local`);
    assert.equal(cluster?.circuitBreakers?.thresholds[0]?.maxConnections, 7);
  }
  const said = gatewayMesh(policy("one", service("a"), system), rule("{tls: {mode: DISABLE}}"));
  assert.equal(tlsTo(said, "a", 80), "plaintext");
});

test("a policy for a ServiceEntry is about all its hosts", () => {
  const entry = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: e}
spec: {hosts: [x.default.svc.cluster.local], ports: [{number: 443, name: web, protocol: HTTP}], resolution: DNS}
`;
  const snapshot = gatewayMesh(
    entry,
    policy("one", "{group: networking.istio.io, kind: ServiceEntry, name: e}", system),
  );
  assert.equal(tlsTo(snapshot, "x", 443), "a.example.com a.example.com file-root:system");
});

test("roots that are not in the ConfigMap are told, and those that are there resolve", () => {
  const withRoots = (name: string): string =>
    policy(
      "one",
      service("a"),
      `caCertificateRefs: [{group: "", kind: ConfigMap, name: ${name}}], hostname: a.example.com`,
    );
  const maps = `
apiVersion: v1
kind: ConfigMap
metadata: {name: ca}
data: {ca.crt: ${JSON.stringify(selfSigned().chain)}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: other}
data: {a: b}
`;
  const good = "Accepted=True(Accepted) ResolvedRefs=True(ResolvedRefs)";
  assert.deepEqual(conditionsOf(gatewayMesh(maps, withRoots("ca")), "one"), [good]);
  for (const name of ["other", "gone"]) {
    const snapshot = gatewayMesh(maps, withRoots(name));
    assert.deepEqual(conditionsOf(snapshot, "one"), [
      "Accepted=False(NoValidCACertificate) ResolvedRefs=False(InvalidCACertificateRef)",
    ]);
    assert.equal(snapshot.resourceStates()[0]?.state, "partly in force");
  }
});

test("what a policy asks for without effect is named", () => {
  const refs = ["a", "b"].map((name) => `{group: "", kind: ConfigMap, name: ${name}}`).join();
  const text = policy("one", service("a"), `caCertificateRefs: [${refs}], hostname: a.example.com`);
  const snapshot = gatewayMesh(text.replace("validation:", "options: {example.com/min: v1.3}, validation:"));
  assert.deepEqual(snapshot.resourceStates()[0]?.reasons, [
    "only the first of several roots is used",
    "example.com/min is accepted and not in force",
  ]);
});
