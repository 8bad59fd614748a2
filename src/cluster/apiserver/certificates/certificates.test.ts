import assert from "node:assert/strict";
import { generateKeyPairSync, type KeyObject, X509Certificate } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { buildCertificateRequest } from "#wire/x509/certificate-request.ts";
import { issueAuthority } from "#wire/x509/issue-certificate.ts";
import { splitCertificates } from "#wire/x509/pem.ts";
import { type LocalCluster, startLocalCluster, until } from "../../controllers/local-cluster.test-support.ts";
import { asArray, asRecord, fieldAt, type JsonRecord } from "../../store/json.ts";
import { signingRequests } from "../../store/resources.ts";

const group = "/apis/certificates.k8s.io/v1";
const requests = `${group}/certificatesigningrequests`;
const bundles = "/apis/certificates.k8s.io/v1beta1/clustertrustbundles";
const rbac = "/apis/rbac.authorization.k8s.io/v1";
const spiffeId = "spiffe://cluster.local/ns/a/sa/b";

const newKey = (): { privateKey: KeyObject; publicKey: KeyObject } =>
  generateKeyPairSync("ec", { namedCurve: "P-256" });
const { privateKey } = newKey();
const base64 = (text: string): string => Buffer.from(text).toString("base64");
const requestPem = buildCertificateRequest(privateKey, { uris: [spiffeId] });

function authority(commonName: string, lifeMs = 3_600_000): { certificate: string; key: string } {
  const pair = newKey();
  const certificate = issueAuthority(pair.privateKey, {
    publicKeyInfo: pair.publicKey.export({ format: "der", type: "spki" }),
    subject: { commonName },
    notBeforeMs: Date.now() - 1000,
    notAfterMs: Date.now() + lifeMs,
  });
  return { certificate, key: pair.privateKey.export({ format: "pem", type: "pkcs8" }) as string };
}

function signingRequest(name: string, spec: JsonRecord = {}): JsonRecord {
  return {
    apiVersion: "certificates.k8s.io/v1",
    kind: "CertificateSigningRequest",
    metadata: { name },
    spec: {
      request: base64(requestPem),
      signerName: "example.com/mesh",
      usages: ["digital signature", "key encipherment", "server auth", "client auth"],
      ...spec,
    },
  };
}

const condition = (type: string): JsonRecord => ({ type, status: "True", reason: "Test", message: "because" });

describe("certificates.k8s.io", () => {
  let cluster: LocalCluster;
  let token: string;
  const { certificate, key } = authority("example signer");

  before(async () => {
    cluster = await startLocalCluster();
    const sa = { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "asker" } };
    await cluster.must("POST", "/api/v1/namespaces/default/serviceaccounts", { body: sa });
    const issued = await cluster.must("POST", "/api/v1/namespaces/default/serviceaccounts/asker/token", {
      body: { apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest", spec: {} },
    });
    token = String(fieldAt(issued, "status", "token"));
  });
  after(() => cluster.stop());

  async function allow(name: string, resources: string[], verbs: string[], resourceNames?: string[]): Promise<void> {
    const apiVersion = "rbac.authorization.k8s.io/v1";
    const rules = [{ apiGroups: ["certificates.k8s.io"], resources, verbs, ...(resourceNames && { resourceNames }) }];
    await cluster.must("POST", `${rbac}/clusterroles`, {
      body: { apiVersion, kind: "ClusterRole", metadata: { name }, rules },
    });
    await cluster.must("POST", `${rbac}/clusterrolebindings`, {
      body: {
        apiVersion,
        kind: "ClusterRoleBinding",
        metadata: { name },
        roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name },
        subjects: [{ kind: "ServiceAccount", name: "asker", namespace: "default" }],
      },
    });
  }

  async function approve(name: string): Promise<void> {
    const made = await cluster.must("GET", `${requests}/${name}`);
    await cluster.must("PUT", `${requests}/${name}/approval`, {
      body: { ...made, status: { conditions: [condition("Approved")] } },
    });
  }

  const certificateOf = (name: string): unknown =>
    fieldAt(cluster.store.get(signingRequests, "", name), "status", "certificate");
  const conditionsOf = (name: string): JsonRecord[] =>
    asArray(fieldAt(cluster.store.get(signingRequests, "", name), "status", "conditions")).map(asRecord);
  const failureOf = (name: string): unknown => conditionsOf(name).find(({ type }) => type === "Failed")?.["message"];

  async function signedChain(name: string): Promise<string[]> {
    await until(`the certificate of ${name}`, () => certificateOf(name) !== undefined);
    return splitCertificates(Buffer.from(String(certificateOf(name)), "base64").toString());
  }

  const signer = (data: JsonRecord): JsonRecord => ({
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name: "signer", annotations: { "outrigger.dev/signer-name": "example.com/mesh" } },
    type: "kubernetes.io/tls",
    data,
  });

  test("a request is asked for, approved by who may, and signed by the signer's Secret", async () => {
    await allow("ask", ["certificatesigningrequests"], ["create", "get"]);
    const forged = signingRequest("mesh", { username: "system:admin", groups: ["system:masters"] });
    const made = await cluster.must("POST", requests, { token, body: { ...forged, status: { certificate: "AA==" } } });
    assert.equal(fieldAt(made, "spec", "username"), "system:serviceaccount:default:asker");
    assert.equal(JSON.stringify(fieldAt(made, "spec", "groups")).includes("masters"), false);
    assert.equal(made["status"], undefined);
    const approval = { token, body: { ...made, status: { conditions: [condition("Approved")] } } };
    assert.equal((await cluster.call("PUT", `${requests}/mesh/approval`, approval)).status, 403);
    await allow("approve", ["certificatesigningrequests/approval"], ["update"]);
    const refused = await cluster.call("PUT", `${requests}/mesh/approval`, approval);
    assert.equal(refused.status, 403);
    assert.match(refused.text, /not permitted to approve requests with signerName \\"example.com\/mesh\\"/);
    await allow("of-signer", ["signers"], ["approve"], ["example.com/*"]);
    await cluster.must("PUT", `${requests}/mesh/approval`, approval);
    assert.equal(certificateOf("mesh"), undefined, "nobody has this signer");
    const secret = signer({ "tls.crt": base64(certificate), "tls.key": base64(key) });
    await cluster.must("POST", "/api/v1/namespaces/kube-system/secrets", { body: secret });
    const [leafPem = "", ...upper] = await signedChain("mesh");
    assert.deepEqual(upper, [], "whoever asks has the root");
    const leaf = new X509Certificate(leafPem);
    assert.ok(leaf.verify(new X509Certificate(certificate).publicKey));
    assert.equal(leaf.subjectAltName, `URI:${spiffeId}`);
    assert.ok(leaf.checkPrivateKey(privateKey));
    assert.deepEqual(leaf.keyUsage, ["1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"]);
    assert.ok(leaf.validToDate.getTime() <= new X509Certificate(certificate).validToDate.getTime());
  });

  test("a life that is asked for is given, and a watch tells of the certificate", async () => {
    await cluster.must("POST", requests, { body: signingRequest("short", { expirationSeconds: 600 }) });
    const seen: string[] = [];
    const stop = cluster.store.watch(signingRequests, {}, ({ type }) => void seen.push(type));
    await approve("short");
    const [leaf = ""] = await signedChain("short");
    stop();
    const life = new X509Certificate(leaf).validToDate.getTime() - Date.now();
    assert.ok(life > 590_000 && life <= 600_000, String(life));
    assert.ok(seen.filter((type) => type === "MODIFIED").length >= 2, seen.join());
  });

  test("what is denied is not signed, and a decision stays", async () => {
    await cluster.must("POST", requests, { body: signingRequest("denied") });
    const made = await cluster.must("GET", `${requests}/denied/approval`);
    const put = (conditions: JsonRecord[]): Promise<{ status: number; text: string }> =>
      cluster.call("PUT", `${requests}/denied/approval`, {
        body: { ...made, metadata: { name: "denied" }, status: { conditions } },
      });
    assert.equal((await put([condition("Denied"), condition("Approved")])).status, 422);
    assert.equal((await put([{ ...condition("Denied"), status: "False" }])).status, 422);
    assert.equal((await put([condition("Denied")])).status, 200);
    assert.match((await put([])).text, /Denied may not be removed/);
    const patched = await cluster.call("PATCH", `${requests}/denied`, {
      type: "application/merge-patch+json",
      body: { spec: { signerName: "example.com/other" } },
    });
    assert.match(patched.text, /spec: Forbidden: field is immutable/);
    assert.equal(certificateOf("denied"), undefined);
  });

  test("a signer of one's own writes the certificate to the status, if it may", async () => {
    await cluster.must("POST", requests, { body: signingRequest("external", { signerName: "other.example/ca" }) });
    await approve("external");
    const current = await cluster.must("GET", `${requests}/external`, { token });
    await allow("status", ["certificatesigningrequests/status"], ["update"]);
    const write = (text: string): Promise<{ status: number; text: string }> =>
      cluster.call("PUT", `${requests}/external/status`, {
        token,
        body: { ...current, metadata: { name: "external" }, status: { certificate: base64(text), conditions: [] } },
      });
    assert.equal((await write(certificate)).status, 403);
    await allow("sign", ["signers"], ["sign"], ["other.example/ca"]);
    assert.equal((await write("no PEM")).status, 422);
    assert.equal((await write(certificate)).status, 200);
    assert.equal((await write(requestPem)).status, 422);
    assert.equal(conditionsOf("external")[0]?.["type"], "Approved", "the approval stays");
  });

  test("Kubernetes' own signers sign what they allow, and say why not", async () => {
    const node = (name: string, organization: string, dnsNames: string[]): string =>
      base64(buildCertificateRequest(privateKey, { dnsNames }, { commonName: name, organization }));
    const serving = { signerName: "kubernetes.io/kubelet-serving", usages: ["digital signature", "server auth"] };
    const cases: Record<string, [JsonRecord, RegExp | undefined]> = {
      good: [{ ...serving, request: node("system:node:a", "system:nodes", ["a"]) }, undefined],
      stranger: [{ ...serving, request: node("a", "system:nodes", ["a"]) }, /common name must be system:node:NAME/],
      nameless: [{ ...serving, request: node("system:node:a", "system:nodes", []) }, /must name DNS names/],
      client: [{ ...serving, usages: ["digital signature", "client auth"] }, /usage "server auth" is required/],
      admin: [
        {
          signerName: "kubernetes.io/kube-apiserver-client",
          usages: ["client auth"],
          request: node("root", "system:masters", []),
        },
        /system:masters is not allowed/,
      ],
    };
    for (const [name, [spec, reason]] of Object.entries(cases)) {
      await cluster.must("POST", requests, { body: signingRequest(name, spec) });
      await approve(name);
      if (reason !== undefined) {
        await until(`the refusal of ${name}`, () => failureOf(name) !== undefined);
        assert.match(String(failureOf(name)), reason);
        continue;
      }
      const [leaf = ""] = await signedChain(name);
      assert.ok(new X509Certificate(leaf).verify(new X509Certificate(cluster.api.caPem).publicKey));
      assert.match(new X509Certificate(leaf).subject, /CN=system:node:a/);
    }
  });

  test("a request that is none is refused with the field that is wrong", async () => {
    const wrong: [JsonRecord, RegExp][] = [
      [{ request: base64("no request") }, /spec.request: Invalid value/],
      [{ request: "" }, /spec.request: Required value/],
      [{ signerName: "kubernetes.io/legacy-unknown" }, /legacy signerName is not allowed/],
      [{ signerName: "mesh" }, /spec.signerName: Invalid value/],
      [{ usages: [] }, /spec.usages: Required value/],
      [{ usages: ["flying"] }, /spec.usages\[0\]: Invalid value/],
      [{ expirationSeconds: 599 }, /spec.expirationSeconds: Invalid value/],
    ];
    for (const [spec, reason] of wrong) {
      const answer = await cluster.call("POST", requests, { body: signingRequest("wrong", spec) });
      assert.equal(answer.status, 422, JSON.stringify(spec));
      assert.match(String(answer.body["message"]), reason);
    }
    const table = await cluster.call("GET", requests, { accept: "application/json;as=Table;v=v1;g=meta.k8s.io" });
    assert.match(table.text, /"Approved,Issued"/);
    const resources = await cluster.must("GET", group);
    assert.match(JSON.stringify(resources), /certificatesigningrequests\/approval/);
  });

  test("trust bundles: certificates under the signer's name, by who may attest for it", async () => {
    const bundle = (name: string, spec: JsonRecord): JsonRecord => ({
      apiVersion: "certificates.k8s.io/v1beta1",
      kind: "ClusterTrustBundle",
      metadata: { name },
      spec,
    });
    await allow("bundles", ["clustertrustbundles"], ["create", "update"]);
    const own = bundle("example.com:mesh:root", { signerName: "example.com/mesh", trustBundle: certificate });
    assert.equal((await cluster.call("POST", bundles, { token, body: own })).status, 403);
    await allow("attest", ["signers"], ["attest"], ["example.com/mesh"]);
    await cluster.must("POST", bundles, { token, body: own });
    const wrong: [JsonRecord, RegExp][] = [
      [bundle("root", { signerName: "example.com/mesh", trustBundle: certificate }), /must be example.com:mesh:NAME/],
      [bundle("a:b", { trustBundle: certificate }), /must be a DNS name where there is no signer/],
      [bundle("none", { trustBundle: "text" }), /must be PEM certificates/],
      [bundle("twice", { trustBundle: certificate + certificate }), /a certificate is there twice/],
      [bundle("missing", {}), /spec.trustBundle: Required value/],
    ];
    for (const [body, reason] of wrong) {
      const answer = await cluster.call("POST", bundles, { body });
      assert.equal(answer.status, 422);
      assert.match(String(answer.body["message"]), reason);
    }
  });
});
