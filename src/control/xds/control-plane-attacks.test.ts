// What a workload with an identity of its own, or without any, can get out of the control plane that is not its own: over
// real sockets, on every port.
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { networkInterfaces } from "node:os";
import { test } from "node:test";
import { fromBinary } from "@bufbuild/protobuf";
import { status } from "@grpc/grpc-js";
import { CertificateClient } from "#agent/identity/certificate-client.ts";
import { SecretSchema } from "#wire/gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.ts";
import type { DeltaDiscoveryResponse } from "#wire/gen/envoy/service/discovery/v3/discovery_pb.ts";
import { parseCertificate } from "#wire/x509/certificate.ts";
import { buildCertificateRequest } from "#wire/x509/certificate-request.ts";
import { selfSigned } from "#wire/x509/testing/self-signed.ts";
import { typeUrl } from "#wire/xds/type-urls.ts";
import type { ControlPlaneOptions } from "../options.ts";
import {
  type ClientOptions,
  DeltaXdsClient,
  FullXdsClient,
  startTestControlPlane,
  type TestControlPlane,
} from "../testing/test-control-plane.ts";

interface Cleaner {
  after(cleanup: () => void | Promise<void>): void;
}

const { chain, key } = selfSigned();
const base64 = (text: string): string => Buffer.from(text).toString("base64");

/** Namespace `vault` keeps everything to itself; `tenant` has a workload with the same labels, and a gateway. */
const meshYaml = `
apiVersion: v1
kind: Service
metadata: {name: safe, namespace: vault, annotations: {networking.istio.io/exportTo: "."}}
spec: {clusterIP: 10.96.0.30, selector: {app: safe}, ports: [{name: http, port: 8080, targetPort: 8080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: safe-1, namespace: vault, labels: {app: safe}}
spec: {serviceAccountName: safe, containers: [{name: safe, image: safe}]}
status: {podIP: 10.244.0.30, phase: Running}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: safe-1, namespace: vault, labels: {kubernetes.io/service-name: safe}}
addressType: IPv4
ports: [{name: http, port: 8080, protocol: TCP}]
endpoints: [{addresses: [10.244.0.30], conditions: {ready: true}}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: combination-1234, namespace: vault}
spec: {selector: {matchLabels: {app: safe}}, rules: [{to: [{operation: {paths: [/combination]}}]}]}
---
apiVersion: v1
kind: Secret
metadata: {name: door, namespace: vault}
data: {tls.crt: ${base64(chain)}, tls.key: ${base64(key)}}
---
apiVersion: v1
kind: Secret
metadata: {name: door, namespace: tenant}
data: {tls.crt: ${base64(chain)}, tls.key: ${base64(key)}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: door, namespace: vault}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 8443, name: https, protocol: HTTPS}
    hosts: [safe.example.com]
    tls: {mode: SIMPLE, credentialName: "kubernetes-gateway://vault/door"}
`;

async function start(t: Cleaner, options: Partial<ControlPlaneOptions> = {}, moreYaml = ""): Promise<TestControlPlane> {
  const plane = await startTestControlPlane(meshYaml + moreYaml, { authenticatePlaintext: true, ...options });
  t.after(() => plane.control.stop());
  return plane;
}

const tls = (plane: TestControlPlane): Pick<ClientOptions, "port" | "roots"> => ({
  port: plane.control.addresses.tls?.port ?? 0,
  roots: plane.control.rootCertificates,
});

function connect(t: Cleaner, options: ClientOptions): DeltaXdsClient {
  const client = new DeltaXdsClient(options);
  t.after(() => client.close());
  return client;
}

const node = (
  namespace: string,
  metadata: Record<string, unknown> = {},
  { type = "sidecar", ip = "10.244.0.9", name = "mallory-1" } = {},
): NonNullable<ClientOptions["node"]> => ({
  id: `${type}~${ip}~${name}.${namespace}~${namespace}.svc.cluster.local`,
  metadata: { NAMESPACE: namespace, SERVICE_ACCOUNT: "mallory", ...metadata } as Record<string, string>,
});

/** What the names and bytes of everything say that a proxy is given. */
async function everythingFor(client: DeltaXdsClient): Promise<string> {
  const types = [typeUrl.cluster, typeUrl.endpoint, typeUrl.listener, typeUrl.route];
  let text = "";
  for (const url of types) {
    client.request(url, url === typeUrl.route ? { resourceNamesSubscribe: ["8080", "http.8080"] } : {});
    const response = await client.accept();
    for (const { name, resource } of response.resources) {
      text += `${name}\n${Buffer.from(resource?.value ?? []).toString("latin1")}\n`;
    }
  }
  return text;
}

const ofVault = /safe\.vault|combination-1234|10\.244\.0\.30/;

test("CVE-2026-31838 on the plaintext port too a proxy proves who it is", async (t) => {
  const plane = await start(t);
  const port = plane.control.addresses.plaintext?.port ?? 0;
  for (const [token, namespace, code] of [
    [undefined, "vault", status.UNAUTHENTICATED],
    ["garbage", "vault", status.UNAUTHENTICATED],
    ["tenant/mallory", "vault", status.PERMISSION_DENIED],
  ] as const) {
    const client = connect(t, { port, node: node(namespace), ...(token !== undefined && { token }) });
    client.request(typeUrl.cluster);
    const ended = await client.end();
    assert.ok(ended !== "end");
    assert.equal(ended.code, code, `${token}`);
  }
  const own = connect(t, { port, node: node("vault"), token: "vault/mallory" });
  assert.match(await everythingFor(own), ofVault);
});

test("where there are no tokens, as with files alone, the plaintext port serves everybody, and no Secret", async (t) => {
  const plane = await start(t, { authenticatePlaintext: false });
  const client = connect(t, { port: plane.control.addresses.plaintext?.port ?? 0, node: node("vault") });
  assert.match(await everythingFor(client), ofVault);
  client.request(typeUrl.secret, { resourceNamesSubscribe: ["kubernetes://door"] });
  assert.deepEqual((await client.accept()).resources, []);
});

test("a proxy that claims another namespace, account or pod in its metadata is refused or gets what its own has", async (t) => {
  const plane = await start(t);
  const asTenant = { ...tls(plane), token: "tenant/mallory" };
  for (const [what, claimed] of [
    ["namespace", node("vault")],
    ["namespace in the metadata alone", { ...node("tenant", { NAMESPACE: "vault" }) }],
    ["namespace in the id alone", { ...node("vault", { NAMESPACE: "tenant" }) }],
    ["service account", node("tenant", { SERVICE_ACCOUNT: "safe" })],
  ] as const) {
    const client = connect(t, { ...asTenant, node: claimed });
    client.request(typeUrl.cluster);
    const ended = await client.end();
    assert.ok(ended !== "end");
    assert.ok([status.PERMISSION_DENIED, status.INVALID_ARGUMENT].includes(ended.code), `${what}: ${ended.code}`);
  }
  for (const [what, claimed] of [
    ["labels", node("tenant", { LABELS: { app: "safe" } })],
    ["address", node("tenant", {}, { ip: "10.244.0.30" })],
    ["addresses", node("tenant", { INSTANCE_IPS: "10.244.0.30,10.244.0.9" })],
    ["pod name", node("tenant", { LABELS: { app: "safe" } }, { name: "safe-1" })],
    ["generator", node("tenant", { GENERATOR: "grpc", LABELS: { app: "safe" } })],
    ["no account", node("tenant", { SERVICE_ACCOUNT: "", LABELS: { app: "safe" } })],
    ["gateway", node("tenant", { LABELS: { app: "safe" } }, { type: "router" })],
  ] as const) {
    assert.doesNotMatch(await everythingFor(connect(t, { ...asTenant, node: claimed })), ofVault, what);
  }
  const owner = connect(t, {
    ...tls(plane),
    token: "vault/safe",
    node: node("vault", { SERVICE_ACCOUNT: "safe", LABELS: { app: "safe" } }, { name: "safe-1", ip: "10.244.0.30" }),
  });
  assert.match(await everythingFor(owner), ofVault);
});

test("a pod that claims to be a gateway of another namespace gets its servers only where Gateways are for all namespaces", async (t) => {
  const claimed = node("tenant", { LABELS: { istio: "ingressgateway" } }, { type: "router" });
  const listeners = async (scopesGateways: boolean, who: ClientOptions["node"], token: string): Promise<string[]> => {
    const plane = await start(t, { scopesGateways });
    const client = connect(t, { ...tls(plane), token, ...(who !== undefined && { node: who }) });
    client.request(typeUrl.listener);
    return (await client.accept()).resources.map(({ name }) => name);
  };
  assert.deepEqual(await listeners(false, claimed, "tenant/mallory"), ["0.0.0.0_8443"], "as in Istio");
  assert.deepEqual(await listeners(true, claimed, "tenant/mallory"), []);
  const own = node("vault", { LABELS: { istio: "ingressgateway" } }, { type: "router" });
  assert.deepEqual(await listeners(true, own, "vault/mallory"), ["0.0.0.0_8443"]);
});

test("the node of a stream is the one of its first request", async (t) => {
  const plane = await start(t);
  const client = connect(t, { ...tls(plane), token: "tenant/mallory", node: node("tenant") });
  client.request(typeUrl.cluster);
  await client.accept();
  client.request(typeUrl.listener, { node: { ...node("vault"), metadata: {} } });
  const { resources } = await client.accept();
  assert.ok(resources.length > 0);
  assert.doesNotMatch(resources.map(({ resource }) => Buffer.from(resource?.value ?? []).toString()).join(), ofVault);
});

test("Secrets of another namespace are not given out, whatever a proxy claims to be", async (t) => {
  const plane = await start(t);
  const names = ["kubernetes://vault/door", "kubernetes-gateway://vault/door", "kubernetes://vault/door-cacert"];
  const labels = { LABELS: { istio: "ingressgateway" } };
  const keysFor = async (token: string, claimed: ClientOptions["node"], asked: string[]): Promise<string[]> => {
    const client = connect(t, { ...tls(plane), token, ...(claimed !== undefined && { node: claimed }) });
    client.request(typeUrl.secret, { resourceNamesSubscribe: asked });
    const response: DeltaDiscoveryResponse = await client.accept();
    return response.resources.map(({ name, resource }) => {
      const { type } = fromBinary(SecretSchema, resource?.value ?? new Uint8Array());
      return `${name} ${type.case}`;
    });
  };
  for (const type of ["sidecar", "router"]) {
    const mallory = node("tenant", labels, { type });
    assert.deepEqual(await keysFor("tenant/mallory", mallory, names), [], type);
    assert.deepEqual(await keysFor("tenant/mallory", mallory, ["kubernetes://door"]), [
      "kubernetes://door tlsCertificate",
    ]);
  }
  const gateway = node("vault", labels, { type: "router" });
  assert.deepEqual(await keysFor("vault/mallory", gateway, names.slice(0, 2)), [
    "kubernetes://vault/door tlsCertificate",
    "kubernetes-gateway://vault/door tlsCertificate",
  ]);
});

test("what pulls the images of modules goes to proxies of the plugin's namespace that proved who they are, and to no other", async (t) => {
  const plugin = (password: string, namespace = "vault"): string => `
apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata: {name: guard, namespace: ${namespace}}
spec: {url: "oci://registry.example/guard:1", imagePullSecret: pull}
---
apiVersion: v1
kind: Secret
metadata: {name: pull, namespace: ${namespace}}
type: kubernetes.io/dockerconfigjson
data: {.dockerconfigjson: ${base64(JSON.stringify({ auths: { "registry.example": { auth: password } } }))}}
`;
  const name = "extensions.istio.io/trafficextension/vault.guard~istio-translated-wasmplugin";
  const bytesOf = ({ resources }: DeltaDiscoveryResponse): string =>
    resources.map(({ resource }) => Buffer.from(resource?.value ?? []).toString("latin1")).join();
  const ask = async (client: DeltaXdsClient): Promise<string> => {
    client.request(typeUrl.extensionConfig, { resourceNamesSubscribe: [name] });
    return bytesOf(await client.accept());
  };
  const plane = await start(t, { authenticatePlaintext: false }, `---${plugin("cGFzcw==")}`);
  const own = connect(t, { ...tls(plane), token: "vault/mallory", node: node("vault") });
  const first = await ask(own);
  assert.match(first, /ISTIO_META_WASM_IMAGE_PULL_SECRET/);
  assert.match(first, /cGFzcw==/);
  const mallory = connect(t, { ...tls(plane), token: "tenant/mallory", node: node("tenant") });
  assert.equal(await ask(mallory), "");
  const nobody = connect(t, { port: plane.control.addresses.plaintext?.port ?? 0, node: node("vault") });
  const unproven = await ask(nobody);
  assert.match(unproven, /registry\.example/);
  assert.doesNotMatch(unproven, /IMAGE_PULL_SECRET|cGFzcw==/);
  plane.source.apply(plugin("bmV3"));
  assert.match(bytesOf(await own.accept()), /bmV3/, "another Secret is sent by itself");
  assert.ok(!plane.lines.some((line) => /cGFzcw|bmV3/.test(line)));
});

test("a Gateway leads to a Secret of another namespace as long as a ReferenceGrant there says so", async (t) => {
  const plane = await start(t);
  plane.source.apply(`
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: thief, namespace: tenant}
spec:
  selector: {app: thief}
  servers:
  - port: {number: 8444, name: https, protocol: HTTPS}
    hosts: ["*"]
    tls: {mode: SIMPLE, credentialName: "kubernetes-gateway://vault/door"}
`);
  const grant = `
apiVersion: gateway.networking.k8s.io/v1
kind: ReferenceGrant
metadata: {name: doors, namespace: vault}
spec:
  from: [{group: gateway.networking.k8s.io, kind: Gateway, namespace: tenant}]
  to: [{group: "", kind: Secret, name: door}]
`;
  const claimed = node("tenant", { LABELS: { app: "thief" } }, { type: "router" });
  const client = connect(t, { ...tls(plane), token: "tenant/mallory", node: claimed });
  client.request(typeUrl.secret, { resourceNamesSubscribe: ["kubernetes-gateway://vault/door"] });
  assert.deepEqual((await client.accept()).resources, []);
  plane.source.apply(grant);
  assert.deepEqual(
    (await client.accept()).resources.map(({ name }) => name),
    ["kubernetes-gateway://vault/door"],
  );
  plane.source.delete(grant);
  assert.deepEqual((await client.accept()).removedResources, ["kubernetes-gateway://vault/door"]);
});

test("CVE-2026-31838 debug types over xDS tell a namespace nothing of others", async (t) => {
  const plane = await start(t);
  const victim = connect(t, { ...tls(plane), token: "vault/mallory", node: node("vault") });
  victim.request(typeUrl.cluster);
  await victim.accept();
  const questions: [string, string[]][] = [
    ["istio.io/debug", ["syncz"]],
    ["istio.io/debug", ["config_dump?proxyID=mallory-1.vault"]],
    ["istio.io/debug", ["config_dump?proxyID=mallory-1.tenant&proxyID=mallory-1.vault"]],
    ["istio.io/debug", ["configz"]],
    ["istio.io/debug", [""]],
    ["istio.io/debug/syncz", []],
    ["istio.io/debug/config_dump", ["mallory-1.vault"]],
    ["istio.io/debug/config_dump", ["mallory-1.tenant", "mallory-1.vault"]],
  ];
  for (const [type, resourceNames] of questions) {
    const client = new FullXdsClient({ ...tls(plane), token: "tenant/mallory", node: node("tenant") });
    t.after(() => client.close());
    client.request(type, { resourceNames });
    const end = await client.end();
    assert.ok(end !== "end" && [status.PERMISSION_DENIED, status.INVALID_ARGUMENT].includes(end.code), String(end));
    assert.equal(client.waiting, 0);
  }
});

/** An address of this machine that is not loopback: what asks it comes from another machine, for all a server can tell. */
const outside = Object.values(networkInterfaces())
  .flat()
  .find((entry) => entry?.family === "IPv4" && !entry.internal)?.address;
const noOutside = outside === undefined ? "no other address than loopback" : false;

test("CVE-2026-31838 debug endpoints show a namespace its own proxies and nothing else, on both ports", {
  skip: noOutside,
}, async (t) => {
  const plane = await start(t, { host: "0.0.0.0" });
  for (const namespace of ["vault", "tenant"]) {
    const client = connect(t, { ...tls(plane), token: `${namespace}/mallory`, node: node(namespace) });
    client.request(typeUrl.cluster);
    await client.accept();
  }
  const { monitoring, http } = plane.control.addresses;
  for (const port of [monitoring?.port, http?.port]) {
    const ask = async (path: string, token?: string): Promise<{ status: number; text: string }> => {
      const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
      const response = await fetch(`http://${outside}:${port}/debug/${path}`, { headers });
      return { status: response.status, text: await response.text() };
    };
    const all = [
      "",
      "syncz",
      "configz",
      "adsz",
      "edsz",
      "connections",
      "config_dump?proxyID=mallory-1.vault",
      "inject",
    ];
    for (const path of all) {
      assert.equal((await ask(path)).status, 401, path);
      assert.equal((await ask(path, "garbage")).status, 401, path);
      const refused = await ask(path, "tenant/mallory");
      assert.ok(refused.status === 403 || refused.status === 400, `${path}: ${refused.status}`);
      assert.doesNotMatch(refused.text, /safe|10\.244\.0\.30/);
      assert.equal((await ask(path, "istio-system/tool")).status === 401, false, path);
    }
    assert.equal((await ask("config_dump?proxyID=mallory-1.tenant", "tenant/mallory")).status, 200);
    assert.equal(
      (await ask("config_dump?proxyID=gone.vault", "tenant/mallory")).status,
      403,
      "as for one that is there",
    );
    assert.match((await ask("config_dump?proxyID=mallory-1.vault", "istio-system/tool")).text, ofVault);
  }
});

test("ENABLE_DEBUG_ON_HTTP, ENABLE_DEBUG_ENDPOINT_AUTH and the allowed namespaces do what they say", {
  skip: noOutside,
}, async () => {
  const ask = async (
    debugAccess: ControlPlaneOptions["debugAccess"],
    host: string,
    token?: string,
  ): Promise<number> => {
    const plane = await startTestControlPlane(meshYaml, {
      host: "0.0.0.0",
      ...(debugAccess !== undefined && { debugAccess }),
    });
    try {
      const url = `http://${host}:${plane.control.addresses.monitoring?.port}/debug/syncz`;
      return (await fetch(url, token === undefined ? {} : { headers: { authorization: `Bearer ${token}` } })).status;
    } finally {
      await plane.control.stop();
    }
  };
  const far = outside ?? "";
  assert.equal(await ask({ onHttp: false }, far, "istio-system/tool"), 404);
  assert.equal(await ask({ onHttp: false }, "127.0.0.1"), 200);
  assert.equal(await ask({ authentication: false }, far), 200);
  assert.equal(await ask({ allowedNamespaces: ["kiali"] }, far, "kiali/kiali"), 200);
  assert.equal(await ask({ allowedNamespaces: ["kiali"] }, far, "tenant/mallory"), 403);
});

test("requests of proxies are bounded in bytes, in types and in names", async (t) => {
  const plane = await start(t);
  const own = { ...tls(plane), token: "tenant/mallory", node: node("tenant") };
  const large = connect(t, own);
  large.request(typeUrl.endpoint, { resourceNamesSubscribe: ["x".repeat(33 * 1024 * 1024)] });
  const tooLarge = await large.end();
  assert.ok(tooLarge !== "end");
  assert.equal(tooLarge.code, status.RESOURCE_EXHAUSTED);
  const many = connect(t, own);
  many.request(typeUrl.endpoint, { resourceNamesSubscribe: Array.from({ length: 200_001 }, (_, i) => `n${i}`) });
  const tooMany = await many.end();
  assert.ok(tooMany !== "end");
  assert.match(tooMany.details, /more than 200000 names/);
  const kinds = connect(t, own);
  for (let i = 0; i < 80; i++) kinds.request(`type.example.com/t${i}`);
  const tooDiverse = await kinds.end();
  assert.ok(tooDiverse !== "end");
  assert.match(tooDiverse.details, /more than 64 resource types/);
  const good = connect(t, own);
  good.request(typeUrl.cluster);
  assert.ok((await good.accept()).resources.length > 0, "others go on");
});

test("a certificate request is bounded in bytes, and its neighbours are served", async (t) => {
  const { control } = await start(t);
  const client = new CertificateClient({
    address: `127.0.0.1:${control.addresses.tls?.port}`,
    serverName: "istiod.istio-system.svc",
    clusterId: "Kubernetes",
    timeoutMs: 5000,
  });
  t.after(() => client.close());
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const csr = buildCertificateRequest(privateKey);
  const sign = (text: string): Promise<readonly string[]> =>
    client.sign({ csr: text, ttlSeconds: 600, token: "tenant/mallory", roots: control.rootCertificates });
  const padded = csr.replace("-----BEGIN", `${"padding ".repeat(5000)}\n-----BEGIN`);
  await assert.rejects(sign(padded), /larger than 32768 bytes/);
  await assert.rejects(sign("x".repeat(33 * 1024 * 1024)), /larger than/);
  const [leaf = ""] = await sign(csr);
  assert.deepEqual(parseCertificate(leaf).subjectAltNames.uris, ["spiffe://cluster.local/ns/tenant/sa/mallory"]);
});
