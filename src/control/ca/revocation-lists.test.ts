import assert from "node:assert/strict";
import { createPrivateKey, generateKeyPairSync } from "node:crypto";
import { describe, test } from "node:test";
import { silentLogger } from "#base/log/log.ts";
import { ManualClock } from "#base/time/clock.ts";
import { parseCertificate } from "#wire/x509/certificate.ts";
import { buildCertificateRequest } from "#wire/x509/certificate-request.ts";
import { type RevocationRequest, revocationListOf } from "#wire/x509/testing/revocation.ts";
import { CertificateAuthority } from "./authority.ts";
import { type AuthorityMaterial, createSelfSignedMaterial } from "./material.ts";
import { RevocationLists } from "./revocation-lists.ts";
import { intermediateOf } from "./testing/intermediate.ts";

const start = Date.UTC(2026, 5, 1);
const hour = 3_600_000;
const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
const request = buildCertificateRequest(privateKey);

function listOf(ca: AuthorityMaterial, options: Partial<RevocationRequest> = {}): string {
  const life = { thisUpdateMs: start, nextUpdateMs: start + 100 * hour };
  return revocationListOf(ca.caCertificate, createPrivateKey(ca.caKey), { ...life, ...options });
}

interface Setup {
  readonly root: AuthorityMaterial;
  readonly issuer: AuthorityMaterial;
  readonly clock: ManualClock;
  readonly authority: CertificateAuthority;
  readonly lists: RevocationLists;
  readonly told: string[];
  sign(): ReturnType<typeof parseCertificate>;
}

function setUp(): Setup {
  const root = createSelfSignedMaterial("root", start);
  const issuer = intermediateOf(root, start, 1000 * hour);
  const clock = new ManualClock(start);
  const authority = new CertificateAuthority(issuer, clock);
  const told: string[] = [];
  const lists = new RevocationLists({
    authority,
    clock,
    log: silentLogger,
    tell: (reason, message) => void told.push(`${reason} ${message}`),
  });
  const sign = (): ReturnType<typeof parseCertificate> =>
    parseCertificate(authority.signWorkload(request, "spiffe://cluster.local/ns/a/sa/b", 0).chain[0] ?? "");
  return { root, issuer, clock, authority, lists, told, sign };
}

describe("revocation lists of a plugged-in CA", () => {
  test("say which certificates are revoked, and are given out as they are", async () => {
    const { root, issuer, lists, sign, told } = setUp();
    const [good, bad] = [sign(), sign()];
    let changes = 0;
    lists.onChange(() => changes++);
    const text = listOf(issuer, { serialNumbers: [bad.serialNumber, "ff"] }) + listOf(root);
    lists.offer(text, "Secret istio-system/cacerts");
    lists.offer(text, "Secret istio-system/cacerts");
    assert.equal(lists.pem, text);
    assert.deepEqual(
      [good, bad].map((certificate) => lists.isRevoked(certificate)),
      [false, true],
    );
    assert.equal(changes, 1, "who has them is not told again");
    lists.offer("", "Secret istio-system/cacerts");
    assert.equal(lists.pem, "");
    assert.equal(lists.isRevoked(bad), false);
    assert.deepEqual(told, []);
    await lists.stop();
  });

  test("that lack one of a CA in use are not given out: they would cut everybody off", async () => {
    const { root, issuer, lists, told } = setUp();
    const stranger = createSelfSignedMaterial("root", start);
    const incomplete = {
      "no list of the root": listOf(issuer),
      "signed by another key of the same name": listOf(issuer) + listOf(stranger),
      "one that has ended": listOf(issuer) + listOf(root, { nextUpdateMs: start - 1000 }),
    };
    for (const [what, text] of Object.entries(incomplete)) {
      lists.offer(text, what);
      assert.equal(lists.pem, "", what);
    }
    assert.match(
      told[0] ?? "",
      /^CAInvalid no list of the root has no revocation list.*serial numbers \w+: no certificate is/,
    );
    assert.equal(told.length, 3);
    await lists.stop();
  });

  test("that cannot be read, or name nobody's key, leave those of before", async () => {
    const { root, issuer, lists, sign, told } = setUp();
    const bad = sign();
    lists.offer(listOf(issuer, { serialNumbers: [bad.serialNumber] }) + listOf(root), "cacerts");
    const nonsense = [
      "nonsense",
      "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n",
      listOf(root).slice(0, -60),
    ];
    for (const text of nonsense) {
      lists.offer(text, "cacerts");
      assert.equal(lists.isRevoked(bad), true, text);
    }
    assert.match(told[0] ?? "", /^CAInvalid the revocation lists of cacerts cannot be read.*no PEM block X509 CRL/);
    lists.offer(listOf(issuer), "cacerts");
    assert.equal(lists.isRevoked(bad), false, "the root's list of before makes it whole");
    await lists.stop();
  });

  test("of the old CA stay while its certificates are good, and those of the new one are there before it signs", async () => {
    const { root, issuer, lists, authority, clock, sign } = setUp();
    const bad = sign();
    const rootList = listOf(root);
    lists.offer(listOf(issuer, { serialNumbers: [bad.serialNumber] }) + rootList, "cacerts");
    const nextRoot = createSelfSignedMaterial("next", start);
    const next = { ...intermediateOf(nextRoot, start, 1000 * hour) };
    const renamed = listOf(nextRoot) + listOf(next);
    lists.offer(renamed, "cacerts");
    for (const list of [renamed, rootList]) assert.ok(lists.pem.includes(list), "both CAs have theirs");
    authority.replace(next, root.rootCertificates);
    assert.equal(lists.pem.split("BEGIN X509 CRL").length - 1, 4);
    clock.advance(25 * hour);
    authority.replace(next, "");
    assert.equal(lists.pem, renamed, "what the old CA signed has ended");
    await lists.stop();
  });

  test("that end are told of in time, once each, and at their end", async () => {
    const { root, issuer, lists, clock, told } = setUp();
    lists.offer(listOf(issuer) + listOf(root, { nextUpdateMs: start + 1000 * hour }), "cacerts");
    clock.advance(79 * hour);
    assert.deepEqual(told, []);
    clock.advance(2 * hour);
    clock.advance(6 * hour);
    assert.equal(told.length, 1);
    assert.match(told[0] ?? "", /^CAExpiring a revocation list of cacerts ends at 2026-06-05T/);
    clock.advance(20 * hour);
    assert.match(told[1] ?? "", /^CAExpired /);
    await lists.stop();
  });
});
