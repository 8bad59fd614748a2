import assert from "node:assert/strict";
import { generateKeyPairSync, type KeyObject, X509Certificate } from "node:crypto";
import { afterEach, describe, test } from "node:test";
import { silentLogger } from "#base/log/log.ts";
import { systemClock } from "#base/time/clock.ts";
import { buildCertificateRequest } from "#wire/x509/certificate-request.ts";
import { KubernetesClient } from "../sources/kubernetes/client.ts";
import { startFakeApiServer } from "../sources/kubernetes/testing/fake-api-server.ts";
import { CertificateAuthority } from "./authority.ts";
import { KubernetesSigner, type KubernetesSignerOptions } from "./kubernetes-signer.ts";
import { createSelfSignedMaterial } from "./material.ts";

const collection = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
const spiffeId = "spiffe://cluster.local/ns/default/sa/reviews";
const dayMs = 86_400_000;

interface Stored {
  readonly spec: { readonly request: string; readonly signerName: string; readonly expirationSeconds: number };
  readonly metadata: { readonly name: string };
  status?: { conditions?: { type: string; message: string }[]; certificate?: string };
}

const cleanups: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

interface Cluster {
  readonly client: KubernetesClient;
  readonly authority: CertificateAuthority;
  readonly requests: Map<string, Stored>;
  readonly seen: Stored[];
  readonly spiffeIds: string[];
}

/** The CSR API with a signer, which signs what is approved, for the names that the test says. */
async function startCluster(sign: (stored: Stored, authority: CertificateAuthority) => void): Promise<Cluster> {
  const authority = new CertificateAuthority(createSelfSignedMaterial("signer", Date.now()), systemClock);
  const api = await startFakeApiServer([]);
  const client = new KubernetesClient({ socketPath: api.socketPath });
  cleanups.push(
    () => api.stop(),
    () => client.close(),
  );
  const requests = new Map<string, Stored>();
  const seen: Stored[] = [];
  api.respond = ({ method, url = "" }, body) => {
    if (!url.startsWith(collection)) return undefined;
    if (method === "POST") {
      const posted = JSON.parse(body) as Stored;
      const stored: Stored = { ...posted, metadata: { name: `csr-workload-${seen.length}` } };
      requests.set(stored.metadata.name, stored);
      seen.push(stored);
      return { status: 201, body: stored };
    }
    const [name = "", subresource] = url.slice(collection.length + 1).split("/");
    const stored = requests.get(name);
    if (stored === undefined) return { status: 404, body: { message: "not found" } };
    if (method === "DELETE") requests.delete(name);
    if (method === "PUT" && subresource === "approval") {
      const { status } = JSON.parse(body) as Stored;
      if (status !== undefined) stored.status = status;
      sign(stored, authority);
    }
    return { status: 200, body: stored };
  };
  return { client, authority, requests, seen, spiffeIds: [] };
}

const signFor =
  (name: string) =>
  (stored: Stored, authority: CertificateAuthority): void => {
    assert.equal(stored.status?.conditions?.[0]?.type, "Approved");
    const csr = Buffer.from(stored.spec.request, "base64").toString();
    const [leaf = ""] = authority.signWorkload(csr, name, stored.spec.expirationSeconds * 1000).chain;
    stored.status = { ...stored.status, certificate: Buffer.from(leaf).toString("base64") };
  };

function signerOf({ client, authority }: Cluster, options: Partial<KubernetesSignerOptions> = {}): KubernetesSigner {
  return new KubernetesSigner({
    client,
    signerName: "clusterissuers.cert-manager.io/mesh",
    signerDomain: "clusterissuers.cert-manager.io",
    rootsOf: () => authority.rootCertificates,
    defaultTtlMs: dayMs,
    maxTtlMs: 90 * dayMs,
    clock: systemClock,
    log: silentLogger,
    timeoutMs: 200,
    ...options,
  });
}

const newKey = (): KeyObject => generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
const request = (...uris: string[]): string => buildCertificateRequest(newKey(), { uris });

describe("a signer of the Kubernetes CSR API", () => {
  test("is asked for the identity that the caller proved, approved by the control plane, and leaves nothing behind", async () => {
    const cluster = await startCluster(signFor(spiffeId));
    const issued = await signerOf(cluster).sign(request(spiffeId), spiffeId, 3_600_000, "");
    const [leaf, root] = issued.chain.map((pem) => new X509Certificate(pem));
    assert.ok(leaf !== undefined && root !== undefined && leaf.checkIssued(root));
    assert.equal(leaf.subjectAltName, `URI:${spiffeId}`);
    assert.deepEqual(
      cluster.seen.map(({ spec }) => [spec.signerName, spec.expirationSeconds]),
      [["clusterissuers.cert-manager.io/mesh", 3600]],
    );
    while (cluster.requests.size > 0) await new Promise(setImmediate);
    await signerOf(cluster).sign(request(spiffeId), spiffeId, 5000, "other");
    const { spec } = cluster.seen.at(-1) ?? {};
    assert.deepEqual([spec?.signerName, spec?.expirationSeconds], ["clusterissuers.cert-manager.io/other", 600]);
  });

  test("is not asked for other names than the caller's, nor for longer than is allowed", async () => {
    const cluster = await startCluster(signFor(spiffeId));
    const signer = signerOf(cluster);
    const other = "spiffe://cluster.local/ns/kube-system/sa/admin";
    for (const csr of [request(other), request(spiffeId, other), request()]) {
      await assert.rejects(signer.sign(csr, spiffeId, 0, ""), {
        code: "CA_REQUEST_NAMES",
        message: /for no other name/,
      });
    }
    const withHost = buildCertificateRequest(newKey(), { uris: [spiffeId], dnsNames: ["istiod"] });
    await assert.rejects(signer.sign(withHost, spiffeId, 0, ""), { code: "CA_REQUEST_NAMES" });
    await assert.rejects(signer.sign(request(spiffeId), spiffeId, 91 * dayMs, ""), { code: "CA_TTL_TOO_LONG" });
    assert.equal(cluster.seen.length, 0);
  });

  test("that refuses, is silent, or answers wrongly gives nothing, with the reason", async () => {
    const stranger = new CertificateAuthority(createSelfSignedMaterial("stranger", Date.now()), systemClock);
    const denied = (stored: Stored): void => {
      stored.status = { conditions: [{ type: "Denied", message: "not this one" }] };
    };
    const anotherKey = (stored: Stored, authority: CertificateAuthority): void => {
      const [leaf = ""] = authority.signWorkload(request(spiffeId), spiffeId, 0).chain;
      stored.status = { certificate: Buffer.from(leaf).toString("base64") };
    };
    const cases: [(stored: Stored, authority: CertificateAuthority) => void, RegExp][] = [
      [denied, /refused \(Denied\): not this one/],
      [() => {}, /gave no certificate within 200 ms/],
      [signFor("spiffe://cluster.local/ns/kube-system/sa/admin"), /for another identity/],
      [anotherKey, /for another key/],
      [(stored) => signFor(spiffeId)(stored, stranger), /does not lead to the roots/],
      [(stored) => (stored.status = { certificate: Buffer.from("none").toString("base64") }), /holds no certificate/],
    ];
    for (const [sign, reason] of cases) {
      const cluster = await startCluster(sign);
      const signing = signerOf(cluster).sign(request(spiffeId), spiffeId, 0, "");
      await assert.rejects(signing, { code: "CA_SIGNER_FAILED", message: reason });
    }
  });

  test("needs roots in meshConfig.caCertificates, and a name", async () => {
    const cluster = await startCluster(signFor(spiffeId));
    const ask = (options: Partial<KubernetesSignerOptions>, wanted = ""): Promise<unknown> =>
      signerOf(cluster, options).sign(request(spiffeId), spiffeId, 0, wanted);
    await assert.rejects(ask({ rootsOf: () => "" }), /caCertificates has no roots for signer clusterissuers/);
    await assert.rejects(ask({ signerName: "" }), /K8S_SIGNER is not set/);
    await assert.rejects(ask({ signerDomain: "" }, "mesh"), /CERT_SIGNER_DOMAIN is not set/);
    await assert.rejects(ask({}, "../evil name"), /is no name/);
    assert.equal(cluster.seen.length, 0);
  });
});
