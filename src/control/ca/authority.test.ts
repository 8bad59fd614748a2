import assert from "node:assert/strict";
import { generateKeyPairSync, type KeyObject, X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { ManualClock } from "#base/time/clock.ts";
import { parseCertificate } from "#wire/x509/certificate.ts";
import { buildCertificateRequest } from "#wire/x509/certificate-request.ts";
import { issueAuthority, readIssuer } from "#wire/x509/issue-certificate.ts";
import { CertificateAuthority } from "./authority.ts";
import { readMaterialSecret } from "./cluster-material.ts";
import { type AuthorityMaterial, createSelfSignedMaterial, readMaterialFolder } from "./material.ts";
import { RateLimit } from "./rate-limit.ts";
import { ServingCertificateKeeper, servingNames } from "./serving-certificate.ts";

const now = Date.UTC(2026, 5, 1);
const hour = 3_600_000;
const identity = "spiffe://cluster.local/ns/default/sa/reviews";
const newKey = (): KeyObject => generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
const request = (): string => buildCertificateRequest(newKey(), { uris: ["spiffe://evil/ns/x/sa/y"] });

/** An intermediate CA under a root, as operators plug one in. */
function pluggedIn(): AuthorityMaterial {
  const root = createSelfSignedMaterial("corp", now);
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const caCertificate = issueAuthority(
    privateKey,
    {
      publicKeyInfo: publicKey.export({ format: "der", type: "spki" }),
      subject: { commonName: "intermediate" },
      notBeforeMs: now - hour,
      notAfterMs: now + 100 * hour,
    },
    readIssuer(root.caCertificate, root.caKey),
  );
  return {
    caCertificate,
    caKey: privateKey.export({ format: "pem", type: "pkcs8" }) as string,
    certificateChain: caCertificate,
    rootCertificates: root.rootCertificates,
  };
}

describe("the certificate authority", () => {
  test("names the workload by the identity it is given, not by the request", () => {
    const authority = new CertificateAuthority(createSelfSignedMaterial("cluster.local", now), new ManualClock(now));
    const issued = authority.signWorkload(request(), identity, 0);
    const leaf = parseCertificate(issued.chain[0] ?? "");
    assert.deepEqual(leaf.subjectAltNames.uris, [identity]);
    assert.equal(leaf.notAfterMs, now + 24 * hour);
    assert.equal(leaf.notBeforeMs, now - 120_000);
    assert.equal(issued.chain.length, 2);
    assert.ok(new X509Certificate(issued.chain[0] ?? "").checkIssued(new X509Certificate(issued.chain[1] ?? "")));
  });

  test("gives lifetimes down to seconds, refuses those above the limit, and never outlives itself", () => {
    const clock = new ManualClock(now);
    const authority = new CertificateAuthority(pluggedIn(), clock);
    const short = parseCertificate(authority.signWorkload(request(), identity, 10_000).chain[0] ?? "");
    assert.equal(short.notAfterMs, now + 10_000);
    assert.equal(short.notBeforeMs, now - 1_000, "a short life is not backdated by minutes");
    assert.throws(() => authority.signWorkload(request(), identity, 91 * 24 * hour), { code: "CA_TTL_TOO_LONG" });
    assert.equal(authority.signWorkload(request(), identity, 1000 * hour).notAfterMs, now + 100 * hour);
  });

  test("a plugged-in CA's chain goes from leaf to root", () => {
    const material = pluggedIn();
    for (const certificateChain of [
      material.certificateChain,
      "",
      material.certificateChain + material.rootCertificates,
    ]) {
      const authority = new CertificateAuthority({ ...material, certificateChain }, new ManualClock(now));
      const chain = authority.signWorkload(request(), identity, 0).chain.map((pem) => new X509Certificate(pem));
      assert.equal(chain.length, 3);
      assert.ok(chain[0] && chain[1] && chain[2]);
      assert.ok(chain[0].checkIssued(chain[1]) && chain[1].checkIssued(chain[2]) && chain[2].checkIssued(chain[2]));
    }
  });

  test("refuses material that does not belong together, says why, and keeps the old one", () => {
    const good = pluggedIn();
    const other = createSelfSignedMaterial("other", now);
    const clock = new ManualClock(now);
    const authority = new CertificateAuthority(good, clock);
    const cases: [Partial<AuthorityMaterial>, RegExp][] = [
      [{ caKey: other.caKey }, /key does not belong/],
      [{ caKey: "no key" }, /cannot be read/],
      [{ rootCertificates: "" }, /no root certificate/],
      [{ rootCertificates: other.rootCertificates, certificateChain: "" }, /chain does not lead/],
      [
        { caCertificate: new CertificateAuthority(good, clock).signWorkload(request(), identity, 0).chain[0] ?? "" },
        /key does not belong/,
      ],
    ];
    for (const [change, reason] of cases) assert.throws(() => authority.replace({ ...good, ...change }), reason);
    clock.advance(101 * hour);
    assert.throws(() => new CertificateAuthority(good, clock), /expired at/);
    assert.equal(authority.rootCertificates, good.rootCertificates);
  });

  test("material is read from a folder and from a Secret by Istio's names", () => {
    const material = pluggedIn();
    const folder = mkdtempSync(join(tmpdir(), "outrigger-ca-"));
    assert.equal(readMaterialFolder(folder), undefined);
    writeFileSync(join(folder, "ca-cert.pem"), material.caCertificate);
    assert.throws(() => readMaterialFolder(folder), /both be given/);
    writeFileSync(join(folder, "ca-key.pem"), material.caKey);
    writeFileSync(join(folder, "root-cert.pem"), material.rootCertificates);
    writeFileSync(join(folder, "cert-chain.pem"), material.certificateChain);
    assert.deepEqual(readMaterialFolder(folder), material);
    rmSync(folder, { recursive: true });
    const encode = (text: string): string => Buffer.from(text).toString("base64");
    const data = {
      "tls.crt": encode(material.caCertificate),
      "tls.key": encode(material.caKey),
      "ca.crt": encode(material.rootCertificates),
    };
    const secret = { apiVersion: "v1", kind: "Secret", metadata: { name: "cacerts" }, data };
    assert.deepEqual(readMaterialSecret(secret), { ...material, certificateChain: "" });
  });
});

test("the serving certificate is renewed at half of its life and when the CA changes", async () => {
  const clock = new ManualClock(now);
  const authority = new CertificateAuthority(createSelfSignedMaterial("cluster.local", now), clock);
  const dnsNames = servingNames("istio-system", "canary", ["mesh.example.com"]);
  assert.ok(dnsNames.includes("istiod-canary.istio-system.svc"));
  const keeper = new ServingCertificateKeeper({ authority, dnsNames, clock, ttlMs: hour });
  const seen: string[] = [];
  keeper.onChange((certificate) => seen.push(certificate.certificateChain));
  const leaf = new X509Certificate(keeper.current.certificateChain);
  for (const name of ["istiod.istio-system.svc", "mesh.example.com"]) assert.equal(leaf.checkHost(name), name);
  clock.advance(hour / 2 + 1);
  assert.equal(seen.length, 1);
  authority.replace(createSelfSignedMaterial("cluster.local", now));
  assert.equal(seen.length, 2);
  assert.ok(new X509Certificate(seen[1] ?? "").checkIssued(new X509Certificate(authority.rootCertificates)));
  await keeper.stop();
  clock.advance(hour);
  assert.equal(seen.length, 2);
});

test("a caller may burst and then gets a steady rate, without touching other callers", () => {
  const clock = new ManualClock(now);
  const limit = new RateLimit({ burst: 3, perSecond: 1 }, clock);
  assert.deepEqual(
    [1, 2, 3, 4].map(() => limit.allow("a")),
    [true, true, true, false],
  );
  assert.equal(limit.allow("b"), true);
  clock.advance(1000);
  assert.deepEqual([limit.allow("a"), limit.allow("a")], [true, false]);
});
