import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, test } from "node:test";
import { silentLogger } from "#base/log/log.ts";
import { type Clock, systemClock } from "#base/time/clock.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { KubernetesClient } from "../sources/kubernetes/client.ts";
import { type FakeApiServer, startFakeApiServer } from "../sources/kubernetes/testing/fake-api-server.ts";
import { CertificateAuthority } from "./authority.ts";
import { loadClusterMaterial, selfSignedSecretName } from "./cluster-material.ts";
import { createSelfSignedMaterial, defaultRootTtlMs } from "./material.ts";
import { MaterialSwitch } from "./material-switch.ts";
import { watchMaterialFolder, watchMaterialSecrets } from "./material-watch.ts";
import { RootDistribution } from "./root-distribution.ts";

const namespaces = "/api/v1/namespaces";
const configMaps = "/api/v1/configmaps";
const secrets = "/api/v1/secrets";
const namespacedSecrets = "/api/v1/namespaces/istio-system/secrets";
const webhooks = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
/** Retries without waiting. */
const hurried: Clock = { now: () => Date.now(), after: (_ms, callback) => systemClock.after(1, callback) };

const cleanups: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function setUp(secretsAt = secrets): Promise<{ api: FakeApiServer; client: KubernetesClient }> {
  const api = await startFakeApiServer([namespaces, configMaps, secretsAt, webhooks]);
  const client = new KubernetesClient({ socketPath: api.socketPath });
  cleanups.push(
    () => api.stop(),
    () => client.close(),
  );
  return { api, client };
}

async function until(condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 5000;
  while (!condition()) {
    assert.ok(Date.now() < deadline, `never: ${condition}`);
    await new Promise((resolve) => {
      setTimeout(resolve, 2);
    });
  }
}

const namespace = (name: string): KubernetesObject => ({ apiVersion: "v1", kind: "Namespace", metadata: { name } });

function rootIn(api: FakeApiServer, name: string): string | undefined {
  const object = api.object(`/api/v1/namespaces/${name}/configmaps/istio-ca-root-cert`);
  return (object?.["data"] as Record<string, string> | undefined)?.["root-cert.pem"];
}

test("the root is in every namespace, also in new ones, and comes back when someone changes it", async () => {
  const { api, client } = await setUp();
  api.put(namespaces, namespace("a"));
  const authority = new CertificateAuthority(createSelfSignedMaterial("cluster.local", Date.now()), systemClock);
  let broken = 2;
  api.respond = (request) =>
    request.method === "POST" && broken-- > 0 ? { status: 500, body: { message: "not now" } } : undefined;
  const distribution = new RootDistribution({
    client,
    authority,
    mutatingWebhooks: ["istio-sidecar-injector"],
    validatingWebhooks: [],
    log: silentLogger,
    clock: hurried,
  });
  cleanups.push(() => distribution.stop());
  await distribution.start();
  await until(() => rootIn(api, "a") === authority.rootCertificates);
  api.put(namespaces, namespace("b"));
  await until(() => rootIn(api, "b") === authority.rootCertificates);
  const tampered = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "istio-ca-root-cert", namespace: "a" } };
  api.put(configMaps, { ...tampered, data: { "root-cert.pem": "tampered" } });
  await until(() => rootIn(api, "a") === authority.rootCertificates);
  authority.replace(createSelfSignedMaterial("cluster.local", Date.now()));
  await until(() => rootIn(api, "a") === authority.rootCertificates && rootIn(api, "b") === rootIn(api, "a"));
});

test("two control planes of different CAs do not overwrite each other without end", async () => {
  const { api, client } = await setUp();
  api.put(namespaces, namespace("a"));
  const authorities = ["one", "two"].map(
    (name) => new CertificateAuthority(createSelfSignedMaterial(name, Date.now()), systemClock),
  );
  const lines: string[] = [];
  const log = { ...silentLogger, warn: (message: string) => void lines.push(message) };
  for (const authority of authorities) {
    const options = { client, authority, mutatingWebhooks: [], validatingWebhooks: [], log, clock: systemClock };
    const distribution = new RootDistribution(options);
    cleanups.push(() => distribution.stop());
    await distribution.start();
  }
  await until(() => lines.some((line) => /somebody else writes other root certificates/.test(line)));
  const writes = (): number => api.requests.filter((line) => line.startsWith("PATCH")).length;
  const before = writes();
  const watched = lines.length;
  await until(() => lines.length >= watched + 4);
  assert.ok(writes() - before <= 2, `${writes() - before} writes`);
});

test("the injector's webhooks get the bundle, whenever they appear without it", async () => {
  const { api, client } = await setUp();
  const authority = new CertificateAuthority(createSelfSignedMaterial("cluster.local", Date.now()), systemClock);
  const patches: string[] = [];
  api.respond = (request, body) => {
    if (request.method !== "PATCH" || !request.url?.startsWith(webhooks)) return undefined;
    assert.equal(request.headers["content-type"], "application/json-patch+json");
    patches.push(body);
    return { status: 200, body: {} };
  };
  const distribution = new RootDistribution({
    client,
    authority,
    mutatingWebhooks: ["istio-sidecar-injector"],
    validatingWebhooks: [],
    log: silentLogger,
    clock: hurried,
  });
  cleanups.push(() => distribution.stop());
  await distribution.start();
  const caBundle = Buffer.from(authority.rootCertificates).toString("base64");
  const configuration = (name: string): KubernetesObject => ({
    apiVersion: "admissionregistration.k8s.io/v1",
    kind: "MutatingWebhookConfiguration",
    metadata: { name },
    webhooks: [{ clientConfig: { caBundle } }, { clientConfig: {} }],
  });
  api.put(webhooks, configuration("someone-elses"));
  api.put(webhooks, configuration("istio-sidecar-injector"));
  await until(() => patches.length > 0);
  const operation = { op: "add", path: "/webhooks/1/clientConfig/caBundle", value: caBundle };
  assert.deepEqual(JSON.parse(patches[0] ?? ""), [operation]);
});

test("validation refuses when a call fails as soon as somebody answers", async () => {
  const { api, client } = await setUp();
  const validating = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
  const patches: string[] = [];
  api.respond = (request, body) => {
    if (!request.url?.startsWith(validating)) return undefined;
    if (request.method === "PATCH") patches.push(body);
    if (request.url.includes("watch=true")) return undefined;
    const webhooks = [{ clientConfig: {}, failurePolicy: "Ignore" }];
    const items = [{ metadata: { name: "istio-validator-istio-system" }, webhooks }];
    return { status: 200, body: { metadata: { resourceVersion: "1" }, items } };
  };
  const authority = new CertificateAuthority(createSelfSignedMaterial("cluster.local", Date.now()), systemClock);
  const distribution = new RootDistribution({
    client,
    authority,
    mutatingWebhooks: [],
    validatingWebhooks: ["istio-validator-istio-system"],
    log: silentLogger,
    clock: hurried,
  });
  cleanups.push(() => distribution.stop());
  await distribution.start();
  await until(() => patches.length > 0);
  const caBundle = Buffer.from(authority.rootCertificates).toString("base64");
  assert.deepEqual(JSON.parse(patches[0] ?? ""), [
    { op: "add", path: "/webhooks/0/clientConfig/caBundle", value: caBundle },
    { op: "replace", path: "/webhooks/0/failurePolicy", value: "Fail" },
  ]);
});

test("revocation lists are in every namespace beside the root, empty where nothing is revoked", async () => {
  const { api, client } = await setUp();
  for (const name of ["a", "b"]) api.put(namespaces, namespace(name));
  const authority = new CertificateAuthority(createSelfSignedMaterial("cluster.local", Date.now()), systemClock);
  const subscribers: (() => void)[] = [];
  const revocations = { pem: "", onChange: (callback: () => void) => void subscribers.push(callback) };
  const webhooksOff = { mutatingWebhooks: [], validatingWebhooks: [] };
  const distribution = new RootDistribution({
    client,
    authority,
    revocations,
    ...webhooksOff,
    log: silentLogger,
    clock: hurried,
  });
  cleanups.push(() => distribution.stop());
  await distribution.start();
  const listsIn = (name: string): unknown => api.object(`/api/v1/namespaces/${name}/configmaps/istio-ca-crl`)?.["data"];
  await until(() => ["a", "b"].every((name) => listsIn(name) !== undefined));
  assert.deepEqual(listsIn("a"), { "ca-crl.pem": "" });
  assert.equal(rootIn(api, "a"), authority.rootCertificates);
  revocations.pem = "lists";
  for (const subscriber of subscribers) subscriber();
  await until(() => ["a", "b"].every((name) => JSON.stringify(listsIn(name)) === '{"ca-crl.pem":"lists"}'));
});

test("roots are a ClusterTrustBundle in place of ConfigMaps, and it follows the CA", async () => {
  const bundles = "/apis/certificates.k8s.io/v1beta1/clustertrustbundles";
  const api = await startFakeApiServer([namespaces, configMaps, bundles]);
  const client = new KubernetesClient({ socketPath: api.socketPath });
  cleanups.push(
    () => api.stop(),
    () => client.close(),
  );
  api.put(namespaces, namespace("a"));
  const authority = new CertificateAuthority(createSelfSignedMaterial("cluster.local", Date.now()), systemClock);
  const distribution = new RootDistribution({
    client,
    authority,
    usesTrustBundle: true,
    mutatingWebhooks: [],
    validatingWebhooks: [],
    log: silentLogger,
    clock: hurried,
  });
  cleanups.push(() => distribution.stop());
  await distribution.start();
  const spec = (): unknown => api.object(`${bundles}/istio.io:istiod-ca:root-cert`)?.["spec"];
  const wanted = (): object => ({ signerName: "istio.io/istiod-ca", trustBundle: authority.rootCertificates });
  assert.deepEqual(spec(), wanted());
  authority.replace(createSelfSignedMaterial("cluster.local", Date.now()));
  await until(() => JSON.stringify(spec()) === JSON.stringify(wanted()));
  assert.equal(rootIn(api, "a"), undefined);
});

test("the self-signed root is made once and shared by every instance", async () => {
  const { client } = await setUp();
  const options = {
    client,
    namespace: "istio-system",
    trustDomain: "cluster.local",
    rootTtlMs: defaultRootTtlMs,
    now: Date.now,
  };
  const [first, second] = await Promise.all([loadClusterMaterial(options), loadClusterMaterial(options)]);
  const third = await loadClusterMaterial(options);
  assert.deepEqual(first, second);
  assert.deepEqual(first, third);
});

test("a plugged-in CA comes before a self-signed one", async () => {
  const { api, client } = await setUp();
  const options = {
    client,
    namespace: "istio-system",
    trustDomain: "cluster.local",
    rootTtlMs: defaultRootTtlMs,
    now: Date.now,
  };
  await loadClusterMaterial(options);
  const own = createSelfSignedMaterial("corp", Date.now());
  const encode = (text: string): string => Buffer.from(text).toString("base64");
  const data = { "ca-cert.pem": encode(own.caCertificate), "ca-key.pem": encode(own.caKey) };
  api.put(secrets, {
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name: "cacerts", namespace: "istio-system" },
    data,
  });
  assert.deepEqual(await loadClusterMaterial(options), { secretName: "cacerts", material: own });
  assert.ok(api.object(`/api/v1/namespaces/istio-system/secrets/${selfSignedSecretName}`));
});

test("replaced cacerts are used without a restart, bad ones are not", async () => {
  const { api, client } = await setUp(namespacedSecrets);
  const authority = new CertificateAuthority(createSelfSignedMaterial("cluster.local", Date.now()), systemClock);
  const lines: string[] = [];
  const log = { ...silentLogger, error: (message: string) => void lines.push(message) };
  const materials = new MaterialSwitch({ authority, log, clock: hurried });
  const offered: string[] = [];
  const offer: MaterialSwitch["offer"] = (material, place) => {
    offered.push("material");
    materials.offer(material, place);
  };
  const offerRevocations = (lists: string): void => void offered.push(`lists ${lists}`);
  const watching = watchMaterialSecrets(client, "istio-system", "istio-ca-secret", {
    offer,
    offerRevocations,
    log,
    clock: hurried,
  });
  cleanups.push(() => watching.stop());
  const own = createSelfSignedMaterial("corp", Date.now());
  const encode = (text: string): string => Buffer.from(text).toString("base64");
  const secret = (key: string): KubernetesObject => ({
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name: "cacerts", namespace: "istio-system" },
    data: { "ca-cert.pem": encode(own.caCertificate), "ca-key.pem": encode(key), "ca-crl.pem": encode("none") },
  });
  api.put(namespacedSecrets, secret("garbage"));
  await until(() => lines.length > 0);
  assert.notEqual(authority.rootCertificates, own.rootCertificates);
  api.put(namespacedSecrets, secret(own.caKey));
  await until(() => authority.material.caCertificate === own.caCertificate);
  assert.equal(watching.secretName, "cacerts");
  assert.deepEqual(offered.slice(-2), ["lists none", "material"], "lists are there before the CA signs");
});

test("a mounted folder's new material is used", async () => {
  const folder = mkdtempSync(join(tmpdir(), "outrigger-cacerts-"));
  cleanups.push(() => rmSync(folder, { recursive: true }));
  const authority = new CertificateAuthority(createSelfSignedMaterial("cluster.local", Date.now()), systemClock);
  const materials = new MaterialSwitch({ authority, log: silentLogger, clock: hurried });
  const offer: MaterialSwitch["offer"] = (...offered) => materials.offer(...offered);
  let lists = "";
  const offerRevocations = (text: string): void => {
    lists = text;
  };
  const watching = watchMaterialFolder(folder, { offer, offerRevocations, log: silentLogger, clock: hurried });
  cleanups.push(() => watching.stop());
  const own = createSelfSignedMaterial("corp", Date.now());
  writeFileSync(join(folder, "ca-cert.pem"), own.caCertificate);
  writeFileSync(join(folder, "ca-key.pem"), own.caKey);
  writeFileSync(join(folder, "ca-crl.pem"), "lists");
  await until(() => authority.material.caCertificate === own.caCertificate && lists === "lists");
});
