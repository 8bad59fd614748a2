import assert from "node:assert/strict";
import { generateKeyPairSync, X509Certificate } from "node:crypto";
import { describe, test } from "node:test";
import { silentLogger } from "#base/log/log.ts";
import { ManualClock } from "#base/time/clock.ts";
import { parseCertificate } from "#wire/x509/certificate.ts";
import { buildCertificateRequest } from "#wire/x509/certificate-request.ts";
import { splitCertificates } from "#wire/x509/pem.ts";
import { CertificateAuthority } from "./authority.ts";
import type { KnownRoot, RootMemory } from "./known-roots.ts";
import { type AuthorityMaterial, createSelfSignedMaterial, renewSelfSignedMaterial } from "./material.ts";
import { MaterialSwitch, type MaterialSwitchOptions } from "./material-switch.ts";
import { intermediateOf } from "./testing/intermediate.ts";

const start = Date.UTC(2026, 5, 1);
const hour = 3_600_000;
const day = 24 * hour;
const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
const request = buildCertificateRequest(privateKey);

class Memory implements RootMemory {
  saved: readonly KnownRoot[] = [];
  async load(): Promise<readonly KnownRoot[]> {
    return this.saved;
  }
  async save(roots: readonly KnownRoot[]): Promise<void> {
    this.saved = roots;
  }
}

interface Setup {
  readonly clock: ManualClock;
  readonly authority: CertificateAuthority;
  readonly materials: MaterialSwitch;
  readonly memory: Memory;
  /** Says that the roots are where workloads read them. */
  distribute(): Promise<void>;
  issuer(): string;
  trusted(): string[];
}

function setUp(material: AuthorityMaterial, options: Partial<MaterialSwitchOptions> = {}): Setup {
  const clock = new ManualClock(start);
  const authority = new CertificateAuthority(material, clock);
  let distribute = (): void => {};
  const memory = new Memory();
  const materials = new MaterialSwitch({
    authority,
    clock,
    log: silentLogger,
    distributed: () =>
      new Promise((resolve) => {
        distribute = resolve;
      }),
    memory,
    ...options,
  });
  return {
    clock,
    authority,
    materials,
    memory,
    distribute: async () => {
      distribute();
      await new Promise(setImmediate);
    },
    issuer: () => {
      const { chain } = authority.signWorkload(request, "spiffe://cluster.local/ns/a/sa/b", 0);
      const leaf = new X509Certificate(chain[0] ?? "");
      const signer = chain.slice(1).findLast((pem) => leaf.verify(new X509Certificate(pem).publicKey));
      return signer ?? "";
    },
    trusted: () => splitCertificates(authority.rootCertificates).sort(),
  };
}

describe("a CA that is replaced", () => {
  test("signs nothing before its root is where workloads read it, and the old root stays until its leaves have ended", async () => {
    const [old, next] = [createSelfSignedMaterial("old", start), createSelfSignedMaterial("next", start)];
    const both = [old.caCertificate, next.caCertificate].sort();
    const { clock, materials, distribute, issuer, trusted, memory } = setUp(old);
    materials.offer(next, "test");
    assert.deepEqual(trusted(), both, "the new root is given out at once");
    assert.equal(issuer(), old.caCertificate);
    clock.advance(10_000);
    await distribute();
    clock.advance(119_000);
    assert.equal(issuer(), old.caCertificate, "kubelets may not have brought it to the pods yet");
    clock.advance(1_000);
    assert.equal(issuer(), next.caCertificate);
    assert.deepEqual(trusted(), both);
    assert.ok((memory.saved.find(({ certificate }) => certificate === old.caCertificate)?.untilMs ?? 0) > start + day);
    clock.advance(day + 1_000);
    assert.deepEqual(trusted(), [next.caCertificate]);
    await materials.stop();
  });

  test("signs at once with a new intermediate of the same root, or under a root that was trusted beforehand", async () => {
    const [root, other] = [createSelfSignedMaterial("root", start), createSelfSignedMaterial("other", start)];
    const first = intermediateOf(root, start, 100 * hour);
    const { clock, materials, issuer, authority, distribute } = setUp(first);
    const second = intermediateOf(root, start, 200 * hour);
    materials.offer(second, "test");
    assert.equal(issuer(), second.caCertificate);
    // Both roots in root-cert.pem, and a while later the new issuer.
    const roots = second.rootCertificates + other.rootCertificates;
    materials.offer({ ...second, rootCertificates: roots }, "test");
    await distribute();
    clock.advance(10 * 60_000);
    assert.equal(authority.rootCertificates, roots);
    materials.offer(other, "test");
    assert.equal(issuer(), other.caCertificate);
    await materials.stop();
  });

  test("comes in time although a namespace refuses the roots, and at once when the old one has ended", async () => {
    const root = createSelfSignedMaterial("root", start);
    const { clock, materials, issuer, authority } = setUp(intermediateOf(root, start, 6_000));
    const next = createSelfSignedMaterial("next", start);
    materials.offer(next, "test");
    clock.advance(2_000);
    await new Promise(setImmediate);
    assert.notEqual(issuer(), next.caCertificate);
    clock.advance(2_000);
    assert.equal(issuer(), next.caCertificate, "two seconds before the old issuer ends");
    const later = setUp(intermediateOf(root, start, 6_000));
    later.clock.advance(7_000);
    assert.throws(() => later.issuer(), { code: "CA_EXPIRED" });
    later.materials.offer(next, "test");
    assert.equal(later.issuer(), next.caCertificate);
    assert.ok(authority.rootCertificates.includes(next.caCertificate));
  });

  test("an offer that is taken back leaves nothing, and bad material changes nothing", async () => {
    const [old, next] = [createSelfSignedMaterial("old", start), createSelfSignedMaterial("next", start)];
    const { clock, materials, distribute, issuer, trusted } = setUp(old);
    materials.offer(next, "test");
    materials.offer(old, "test");
    assert.deepEqual(trusted(), [old.caCertificate]);
    await distribute();
    clock.advance(hour);
    assert.equal(issuer(), old.caCertificate);
    assert.throws(() => materials.offer({ ...next, caKey: old.caKey }, "test"), { code: "CA_MATERIAL_INVALID" });
    assert.deepEqual(trusted(), [old.caCertificate]);
    await materials.stop();
  });

  test("while nobody ran is trusted beside the new one by what was remembered", async () => {
    const [old, next] = [createSelfSignedMaterial("old", start), createSelfSignedMaterial("next", start)];
    const known = [{ certificate: old.caCertificate }];
    const { clock, materials, issuer, trusted } = setUp(next, { known });
    assert.equal(issuer(), next.caCertificate);
    assert.deepEqual(trusted(), [old.caCertificate, next.caCertificate].sort());
    clock.advance(day + 1_000);
    assert.deepEqual(trusted(), [next.caCertificate]);
    await materials.stop();
  });

  test("roots of the mesh's configuration are trusted besides; what is no certificate is left out", async () => {
    const [own, further] = [createSelfSignedMaterial("own", start), createSelfSignedMaterial("further", start)];
    const { materials, authority, trusted, issuer } = setUp(own);
    const garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    materials.trustAlso(`${garbage}${further.caCertificate}`);
    assert.deepEqual(trusted(), [own.caCertificate, further.caCertificate].sort());
    assert.equal(issuer(), own.caCertificate);
    const { chain } = authority.signWorkload(request, "spiffe://cluster.local/ns/a/sa/b", 0);
    assert.equal(chain.at(-1), own.caCertificate, "who takes one root takes that of the chain");
    materials.trustAlso("");
    assert.deepEqual(trusted(), [own.caCertificate]);
    await materials.stop();
  });

  test("what is plugged in takes over although the self-signed root is renewed meanwhile", async () => {
    const [old, next] = [createSelfSignedMaterial("old", start, 10 * day), createSelfSignedMaterial("next", start)];
    const { clock, materials, distribute, issuer, authority, trusted } = setUp(old);
    materials.offer(next, "cacerts");
    const renewed = renewSelfSignedMaterial(old, start, 10 * day);
    materials.offerRenewed(renewed, "istio-ca-secret");
    assert.equal(authority.material, renewed, "the old CA may end before the new one signs");
    assert.ok(trusted().includes(next.caCertificate));
    await distribute();
    clock.advance(120_000);
    assert.equal(issuer(), next.caCertificate);
    await materials.stop();
  });

  test("signs at once with a root that is renewed for the same key, and the old certificate stays until it ends", async () => {
    const old = createSelfSignedMaterial("cluster.local", start, hour);
    const { clock, materials, authority, trusted } = setUp(old);
    clock.advance(hour / 2);
    const renewed = renewSelfSignedMaterial(old, clock.now(), hour);
    materials.offer(renewed, "istio-ca-secret");
    assert.equal(authority.material, renewed, "who trusts the old certificate believes what the new one signs");
    assert.deepEqual(trusted(), [old.caCertificate, renewed.caCertificate].sort());
    clock.advance(hour / 2 + 1);
    assert.deepEqual(trusted(), [renewed.caCertificate]);
    clock.advance(hour / 4);
    const again = renewSelfSignedMaterial(renewed, clock.now(), hour);
    materials.offer(again, "istio-ca-secret");
    assert.equal(authority.material, again, "and so does the one after that");
    // Whoever looked like it: the same name, another key.
    const stranger = createSelfSignedMaterial("cluster.local", clock.now(), hour);
    materials.offer(stranger, "cacerts");
    assert.equal(authority.material, again);
    await materials.stop();
  });

  test("a renewed self-signed root vouches for what the old certificate signed, and the other way round", async () => {
    const old = createSelfSignedMaterial("cluster.local", start, 10 * day);
    const renewed = renewSelfSignedMaterial(old, start + 8 * day, 10 * day);
    const [before, after] = [old, renewed].map((material) => parseCertificate(material.caCertificate));
    assert.ok(before !== undefined && after !== undefined);
    assert.ok(before.publicKeyInfo.equals(after.publicKeyInfo) && before.subject.equals(after.subject));
    assert.deepEqual(before.subjectKeyId, after.subjectKeyId);
    assert.equal(after.notAfterMs, start + 18 * day);
    assert.notEqual(before.serialNumber, after.serialNumber);
  });
});
