import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { createPublicKey, generateKeyPairSync, type KeyObject, X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import fc from "fast-check";
import { hasCode } from "#base/error.ts";
import { parseCertificate } from "./certificate.ts";
import { buildCertificateRequest, parseCertificateRequest } from "./certificate-request.ts";
import { DerReader, element, readTime, tag } from "./der.ts";
import { type Issuer, issueAuthority, issueLeaf, readIssuer } from "./issue-certificate.ts";
import { decodeOnePem, encodePem } from "./pem.ts";
import { loadX509Oracle } from "./testing/x509-oracle.ts";

const oracle = await loadX509Oracle();

const hasOpenssl = spawnSync("openssl", ["version"]).status === 0;
const day = 86_400_000;
const now = Date.UTC(2026, 0, 2, 3, 4, 5);
const spiffeId = "spiffe://cluster.local/ns/default/sa/reviews";

const ec = (): KeyObject => generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;
const spki = (key: KeyObject): Buffer => createPublicKey(key).export({ format: "der", type: "spki" });
const pem = (key: KeyObject): string => key.export({ format: "pem", type: "pkcs8" }) as string;

function selfSigned(key: KeyObject, commonName = "root"): Issuer & { pem: string } {
  const certificate = issueAuthority(key, {
    publicKeyInfo: spki(key),
    subject: { organization: "cluster.local", commonName },
    notBeforeMs: now - day,
    notAfterMs: now + 3650 * day,
  });
  return { ...readIssuer(certificate, pem(key)), pem: certificate };
}

function leafOf(issuer: Issuer, key: KeyObject): string {
  return issueLeaf(issuer, {
    publicKeyInfo: spki(key),
    names: { uris: [spiffeId], dnsNames: ["a.b"], ipAddresses: ["10.0.0.1", "fd00::1:2"] },
    notBeforeMs: now,
    notAfterMs: now + day,
  });
}

describe("certificates", () => {
  let folder = "";
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "outrigger-x509-"));
  });
  after(() => rmSync(folder, { recursive: true }));
  const file = (name: string, content: string): string => {
    const path = join(folder, name);
    writeFileSync(path, content);
    return path;
  };

  for (const [name, rootKey] of [
    ["P-256", ec()],
    ["RSA", rsa],
  ] as const) {
    test(`a leaf signed by a ${name} root is what was asked for, says OpenSSL`, { skip: !hasOpenssl }, () => {
      const root = selfSigned(rootKey);
      const intermediateKey = ec();
      const intermediatePem = issueAuthority(
        intermediateKey,
        {
          publicKeyInfo: spki(intermediateKey),
          subject: { commonName: "middle" },
          notBeforeMs: now,
          notAfterMs: now + day,
        },
        root,
      );
      const leaf = leafOf(readIssuer(intermediatePem, pem(intermediateKey)), ec());
      const verified = execFileSync(
        "openssl",
        [
          `verify -x509_strict -attime ${now / 1000 + 10} -purpose sslserver -CAfile`.split(" "),
          [file("root.pem", root.pem), "-untrusted", file("middle.pem", intermediatePem), file("leaf.pem", leaf)],
        ].flat(),
      );
      assert.match(verified.toString(), /leaf.pem: OK/);
      const text = execFileSync("openssl", ["x509", "-noout", "-text", "-in", file("leaf.pem", leaf)]).toString();
      assert.match(text, /Subject Alternative Name: critical\s+URI:spiffe:\/\/cluster.local\/ns\/default\/sa\/reviews/);
      assert.match(text, /DNS:a.b, IP Address:10.0.0.1, IP Address:FD00:0:0:0:0:0:1:2/);
      assert.match(text, /Key Usage: critical\s+Digital Signature, Key Encipherment/);
      assert.match(text, /TLS Web Server Authentication, TLS Web Client Authentication/);
      assert.match(text, /CA:FALSE/);
      assert.match(text, /Not After : Jan {2}3 03:04:05 2026 GMT/);
    });
  }

  test("our reader agrees with node:crypto and @peculiar/x509", () => {
    const root = selfSigned(ec());
    const leaf = leafOf(root, ec());
    const ours = parseCertificate(leaf);
    const nodes = new X509Certificate(leaf);
    const theirs = new oracle.X509Certificate(leaf);
    assert.equal(ours.serialNumber, nodes.serialNumber.toLowerCase());
    assert.equal(ours.serialNumber, theirs.serialNumber.replace(/^0+/, ""));
    assert.equal(ours.notAfterMs, theirs.notAfter.getTime());
    assert.deepEqual(ours.subjectAltNames.uris, [spiffeId]);
    assert.ok(ours.issuer.equals(root.certificate.subject));
    assert.equal(ours.isCa, false);
    assert.equal(root.certificate.isCa, true);
    assert.equal(root.certificate.notAfterMs, now + 3650 * day);
    assert.ok(nodes.verify(createPublicKey(root.privateKey)));
    const farKey = ec();
    const far = parseCertificate(
      issueLeaf(root, { publicKeyInfo: spki(farKey), names: {}, notBeforeMs: now, notAfterMs: Date.UTC(2060, 1, 1) }),
    );
    assert.equal(far.notAfterMs, Date.UTC(2060, 1, 1));
  });

  test("thousands of leaves can be issued per second", () => {
    const root = selfSigned(ec());
    const key = spki(ec());
    const started = performance.now();
    for (let count = 0; count < 200; count++) {
      issueLeaf(root, { publicKeyInfo: key, names: { uris: [spiffeId] }, notBeforeMs: now, notAfterMs: now + day });
    }
    assert.ok(performance.now() - started < 1000, "200 leaves took longer than a second");
  });
});

test("a time that does not exist is refused, and not taken for a later one", () => {
  const read = (text: string, kind: number): number => readTime(new DerReader(element(kind, Buffer.from(text))).next());
  assert.equal(read("280229000000Z", tag.utcTime), Date.UTC(2028, 1, 29));
  assert.equal(read("20500101000000Z", tag.generalizedTime), Date.UTC(2050, 0, 1));
  for (const text of ["362101000000Z", "260229000000Z", "260101240000Z", "260101006000Z", "260100000000Z"]) {
    assert.throws(() => read(text, tag.utcTime), /a time that does not exist/, text);
  }
});

describe("certificate requests", () => {
  test("a request of ours is verified by us, by OpenSSL and by @peculiar/x509", async () => {
    for (const key of [ec(), rsa]) {
      const request = buildCertificateRequest(key, { uris: [spiffeId] }, { organization: "o" });
      const parsed = parseCertificateRequest(request);
      assert.ok(parsed.publicKeyInfo.equals(spki(key)));
      assert.deepEqual(parsed.subjectAltNames.uris, [spiffeId]);
      assert.ok(await new oracle.Pkcs10CertificateRequest(request).verify());
      if (hasOpenssl) {
        const text = execFileSync("openssl", ["req", "-verify", "-noout", "-text"], { input: request, stdio: "pipe" });
        assert.match(text.toString(), /URI:spiffe:/);
      }
    }
    assert.deepEqual(parseCertificateRequest(buildCertificateRequest(ec())).subjectAltNames.uris, []);
  });

  test("a request made by OpenSSL with RSA or P-384 is read", { skip: !hasOpenssl }, () => {
    for (const options of [["rsa:2048"], ["ec", "-pkeyopt", "ec_paramgen_curve:P-384"]]) {
      const request = execFileSync(
        "openssl",
        [
          "req",
          "-new",
          "-nodes",
          "-subj",
          "/O=x",
          "-keyout",
          "/dev/null",
          "-addext",
          `subjectAltName=URI:${spiffeId}`,
        ].concat(["-newkey", ...options]),
        { stdio: "pipe" },
      ).toString();
      assert.deepEqual(parseCertificateRequest(request).subjectAltNames.uris, [spiffeId]);
    }
  });

  test("a request that was changed after signing is refused", () => {
    const der = decodeOnePem(["CERTIFICATE REQUEST"], buildCertificateRequest(ec(), { uris: [spiffeId] }));
    const at = der.indexOf("reviews");
    der.write("ratings", at);
    assert.throws(() => parseCertificateRequest(der), /signature does not match/);
  });

  test("weak keys are refused", () => {
    const weak = generateKeyPairSync("rsa", { modulusLength: 1024 }).privateKey;
    assert.throws(() => parseCertificateRequest(buildCertificateRequest(weak)), /RSA key of 1024 bits/);
    const odd = generateKeyPairSync("ec", { namedCurve: "secp256k1" }).privateKey;
    assert.throws(() => parseCertificateRequest(buildCertificateRequest(odd)), /secp256k1/);
  });

  test("garbage and mutations never do more than throw X509_INVALID", () => {
    const valid = decodeOnePem(["CERTIFICATE REQUEST"], buildCertificateRequest(ec(), { uris: [spiffeId] }));
    const leaf = parseCertificate(leafOf(selfSigned(ec()), ec())).der;
    const attempt = (bytes: Uint8Array): void => {
      for (const parse of [parseCertificateRequest, parseCertificate]) {
        try {
          parse(bytes);
        } catch (error) {
          assert.ok(hasCode(error, "X509_INVALID"), String(error));
        }
      }
    };
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), attempt), { numRuns: 300 });
    const mutation = fc.tuple(fc.nat(valid.length - 1), fc.nat(255), fc.nat(leaf.length - 1));
    fc.assert(
      fc.property(mutation, ([at, byte, leafAt]) => {
        for (const [original, position] of [
          [valid, at],
          [leaf, leafAt],
        ] as const) {
          const changed = Buffer.from(original);
          changed[position] = byte;
          attempt(changed);
          attempt(original.subarray(0, position));
        }
      }),
      { numRuns: 300 },
    );
    assert.throws(() => parseCertificateRequest("no pem"), /no PEM block/);
    assert.throws(() => parseCertificateRequest(encodePem("CERTIFICATE REQUEST", Buffer.alloc(40_000))), /larger than/);
  });
});
