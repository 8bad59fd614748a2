import assert from "node:assert/strict";
import { test } from "node:test";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import { CertificateValidationContext_TrustChainVerification as TrustChain } from "#wire/gen/envoy/extensions/transport_sockets/tls/v3/common_pb.ts";
import {
  DownstreamTlsContextSchema,
  UpstreamTlsContextSchema,
} from "#wire/gen/envoy/extensions/transport_sockets/tls/v3/tls_pb.ts";
import { selfSigned } from "#wire/x509/testing/self-signed.ts";
import { compileSecret } from "../compile/tls/secrets.ts";
import type { BuiltSnapshot } from "../snapshot/build.ts";
import { proxy } from "../snapshot/testing/mesh-from-yaml.ts";
import { compiled, gatewayMesh, gatewayPod } from "./testing/gateway-mesh.ts";

const pair = selfSigned();
const indented = (text: string): string => text.trimEnd().replace(/^/gm, "    ");

const objects = `
apiVersion: v1
kind: Secret
metadata: {name: cert}
stringData:
  tls.crt: |
${indented(pair.chain)}
  tls.key: |
${indented(pair.key)}
  ca.crt: |
${indented(pair.chain)}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: ca}
data:
  ca.crt: |
${indented(pair.chain)}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: far-ca, namespace: other}
data:
  ca.crt: |
${indented(pair.chain)}
`;

const grant = `
apiVersion: gateway.networking.k8s.io/v1beta1
kind: ReferenceGrant
metadata: {name: g, namespace: other}
spec:
  from: [{group: gateway.networking.k8s.io, kind: Gateway, namespace: default}]
  to: [{group: "", kind: ConfigMap}]
`;

/** A Gateway with TLS on two ports. */
const gateway = (tls: string): string => `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: web}
spec:
  gatewayClassName: istio
  tls: ${tls}
  listeners:
  - {name: http, port: 80, protocol: HTTP}
  - {name: one, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: cert}]}}
  - {name: two, port: 8443, protocol: HTTPS, tls: {certificateRefs: [{name: cert}]}}
`;

const validation = (ref: string, mode = "AllowValidOnly"): string =>
  `{validation: {mode: ${mode}, caCertificateRefs: [${ref}]}}`;
const configMap = (name: string, more = ""): string => `{group: "", kind: ConfigMap, name: ${name}${more}}`;

/** By port: what is asked of clients, as `required configmap://default/ca-cacert`. */
function clientsOf(snapshot: BuiltSnapshot): Record<string, string> {
  const asked: Record<string, string> = {};
  for (const { address, filterChains } of compiled(snapshot).listeners.values()) {
    const place = address?.address;
    if (place?.case !== "socketAddress") continue;
    const port = place.value.portSpecifier;
    const socket = filterChains[0]?.transportSocket?.configType;
    if (socket?.case !== "typedConfig") continue;
    const context = anyUnpack(socket.value, DownstreamTlsContextSchema);
    const roots = context?.commonTlsContext?.validationContextType;
    const isUntrusted =
      roots?.case === "combinedValidationContext" &&
      roots.value.defaultValidationContext?.trustChainVerification === TrustChain.ACCEPT_UNTRUSTED;
    const name =
      roots?.case === "combinedValidationContext" ? roots.value.validationContextSdsSecretConfig?.name : "nothing";
    const how = context?.requireClientCertificate === true ? "required" : "optional";
    asked[String(port.value)] = name === "nothing" ? name : `${how} ${name}${isUntrusted ? " or any" : ""}`;
  }
  return asked;
}

interface Conditions {
  readonly conditions: readonly { type: string; status: string; reason: string }[];
}

const short = ({ conditions }: Conditions): string =>
  conditions.map(({ type, status, reason }) => `${type}=${status}${reason === type ? "" : `(${reason})`}`).join(" ");

function statusOf(snapshot: BuiltSnapshot): { gateway: string; listeners: Record<string, string> } {
  const found = snapshot.gatewayApiStatuses().find(({ kind, name }) => kind === "Gateway" && name === "web")?.status;
  const { listeners, ...status } = found as unknown as Conditions & { listeners: (Conditions & { name: string })[] };
  return {
    gateway: short(status),
    listeners: Object.fromEntries(listeners.map((listener) => [listener.name, short(listener)])),
  };
}

test("clients have to show a certificate that the roots of a ConfigMap or Secret vouch for, by port where it says so", () => {
  const whole = gatewayMesh(objects, gateway(`{frontend: {default: ${validation(configMap("ca"))}}}`));
  assert.deepEqual(clientsOf(whole), {
    443: "required configmap://default/ca-cacert",
    8443: "required configmap://default/ca-cacert",
  });
  assert.match(statusOf(whole).gateway, /^Accepted=True Programmed/);
  const [state] = whole.resourceStates().filter(({ origin }) => origin.kind.startsWith("Gateway"));
  assert.deepEqual([...(state?.reasons ?? [])], []);
  const secret = '{group: "", kind: Secret, name: cert}';
  const byPort = gatewayMesh(
    objects,
    gateway(
      `{frontend: {default: ${validation(configMap("ca"))}, perPort: [{port: 443, tls: {}}, {port: 8443, tls: ${validation(secret)}}]}}`,
    ),
  );
  assert.deepEqual(clientsOf(byPort), { 443: "nothing", 8443: "required kubernetes-gateway://default/cert-cacert" });
  assert.ok(compileSecret(byPort, gatewayPod, "kubernetes-gateway://default/cert-cacert"));
});

test("AllowInsecureFallback lets everybody in, and the status of the Gateway says so", () => {
  const tls = (mode: string): string =>
    `{frontend: {default: {}, perPort: [{port: 8443, tls: ${validation(configMap("ca"), mode)}}]}}`;
  const insecure = gatewayMesh(objects, gateway(tls("AllowInsecureFallback")));
  assert.deepEqual(clientsOf(insecure), { 443: "nothing", 8443: "optional configmap://default/ca-cacert or any" });
  assert.match(statusOf(insecure).gateway, /InsecureFrontendValidationMode=True\(ConfigurationChanged\)/);
  const secure = gatewayMesh(objects, gateway(tls("AllowValidOnly")));
  assert.doesNotMatch(statusOf(secure).gateway, /InsecureFrontendValidationMode/);
});

test("roots that are not there, of another kind or not permitted cost just the listeners of their port", () => {
  const cases: [string, string][] = [
    [configMap("gone"), "InvalidCACertificateRef"],
    ['{group: "", kind: Service, name: a}', "InvalidCACertificateKind"],
    [configMap("far-ca", ", namespace: other"), "RefNotPermitted"],
    // Who may not refer to it is not told whether it is there.
    [configMap("far-gone", ", namespace: other"), "RefNotPermitted"],
    [`${configMap("ca")}, ${configMap("ca")}`, "InvalidCACertificateRef"],
  ];
  for (const [ref, reason] of cases) {
    const frontend = `{default: ${validation(configMap("ca"))}, perPort: [{port: 8443, tls: ${validation(ref)}}]}`;
    const snapshot = gatewayMesh(objects, gateway(`{frontend: ${frontend}}`));
    const { listeners, gateway: whole } = statusOf(snapshot);
    assert.equal(
      listeners["two"],
      `Accepted=False(NoValidCACertificate) Conflicted=False(NoConflicts) Programmed=False(Invalid) ResolvedRefs=False(${reason})`,
      ref,
    );
    assert.match(listeners["one"] ?? "", /^Accepted=True .* Programmed=True ResolvedRefs=True$/);
    assert.match(whole, /^Accepted=True\(ListenersNotValid\)/);
    assert.deepEqual(clientsOf(snapshot), { 443: "required configmap://default/ca-cacert" });
  }
  const far = configMap("far-ca", ", namespace: other");
  const granted = gatewayMesh(objects, grant, gateway(`{frontend: {default: ${validation(far)}}}`));
  assert.equal(clientsOf(granted)[443], "required configmap://other/far-ca-cacert");
});

const policy = `
apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {name: p}
spec:
  targetRefs: [{group: "", kind: Service, name: a}]
  validation: {wellKnownCACertificates: System, hostname: a.example.com}
`;

function shownTo(snapshot: BuiltSnapshot, service: string, node = gatewayPod): string[] | undefined {
  const cluster = compiled(snapshot, node).clusters.get(`outbound|80||${service}.default.svc.cluster.local`);
  const socket = cluster?.transportSocket?.configType;
  if (socket?.case !== "typedConfig") return undefined;
  const context = anyUnpack(socket.value, UpstreamTlsContextSchema);
  return context?.commonTlsContext?.tlsCertificateSdsSecretConfigs.map(({ name }) => name);
}

test("backends of BackendTLSPolicies are shown the Gateway's certificate, by its own pods only", () => {
  const name = "kubernetes-gateway://default/cert";
  const snapshot = gatewayMesh(objects, policy, gateway("{backend: {clientCertificateRef: {name: cert}}}"));
  assert.deepEqual(shownTo(snapshot, "a"), [name]);
  assert.deepEqual(shownTo(snapshot, "a", proxy()), []);
  assert.equal(shownTo(snapshot, "b"), undefined);
  assert.match(statusOf(snapshot).gateway, / ResolvedRefs=True$/);
  assert.ok(compileSecret(snapshot, gatewayPod, name));
  assert.equal(compileSecret(snapshot, proxy({ type: "router", labels: { app: "other" } }), name), undefined);
});

test("a certificate for backends that cannot be had is told, and none is shown", () => {
  const cases: [string, string][] = [
    ["{name: gone}", "InvalidClientCertificateRef"],
    ["{kind: ConfigMap, name: ca}", "InvalidClientCertificateRef"],
    ["{name: cert, namespace: other}", "RefNotPermitted"],
  ];
  for (const [ref, reason] of cases) {
    const snapshot = gatewayMesh(objects, policy, gateway(`{backend: {clientCertificateRef: ${ref}}}`));
    assert.deepEqual(shownTo(snapshot, "a"), []);
    assert.match(statusOf(snapshot).gateway, new RegExp(`^Accepted=True .*ResolvedRefs=False\\(${reason}\\)$`));
    const [state] = snapshot.resourceStates().filter(({ origin }) => origin.kind.startsWith("Gateway"));
    assert.match(state?.reasons.join() ?? "", /backends are shown no certificate/);
  }
});
