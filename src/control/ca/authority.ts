// The certificate authority: names workloads by the identity they proved, never by what their request asks for.
import { generateKeyPairSync } from "node:crypto";
import { OutriggerError } from "#base/error.ts";
import type { Clock } from "#base/time/clock.ts";
import { type Certificate, parseCertificate } from "#wire/x509/certificate.ts";
import { parseCertificateRequest } from "#wire/x509/certificate-request.ts";
import { type Issuer, issueLeaf } from "#wire/x509/issue-certificate.ts";
import { mergeCertificates, splitCertificates } from "#wire/x509/pem.ts";
import { type AuthorityMaterial, checkMaterial, isSameMaterial } from "./material.ts";

export interface AuthorityLimits {
  readonly defaultTtlMs: number;
  readonly maxTtlMs: number;
}

export const defaultAuthorityLimits: AuthorityLimits = { defaultTtlMs: 86_400_000, maxTtlMs: 90 * 86_400_000 };

export interface IssuedCertificate {
  /** PEM each: the leaf, intermediates, the roots; that of this chain last. */
  readonly chain: readonly string[];
  readonly serialNumber: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

export interface ServingCertificate {
  readonly certificateChain: string;
  readonly privateKey: string;
  readonly notAfterMs: number;
}

/** Certificates start a little in the past, for clocks that are behind; short-lived ones by a tenth of their life. */
const maxBackdateMs = 120_000;
const minTtlMs = 1_000;

export class CertificateAuthority {
  readonly #clock: Clock;
  readonly #limits: AuthorityLimits;
  readonly #subscribers = new Set<() => void>();
  #issuer: Issuer;
  #root: Certificate;
  #material: AuthorityMaterial;
  #furtherRoots = "";
  #trusted: string;
  #upperChain: readonly string[];
  #latestNotAfterMs = 0;

  constructor(material: AuthorityMaterial, clock: Clock, limits: AuthorityLimits = defaultAuthorityLimits) {
    this.#clock = clock;
    this.#limits = limits;
    this.#material = material;
    ({ issuer: this.#issuer, root: this.#root } = checkMaterial(material, clock.now()));
    this.#trusted = material.rootCertificates;
    this.#upperChain = this.#chainAboveLeaves();
  }

  /** PEM bundle of everything that workloads have to trust. */
  get rootCertificates(): string {
    return this.#trusted;
  }

  get material(): AuthorityMaterial {
    return this.#material;
  }

  /** The certificate that signs. */
  get issuer(): Certificate {
    return this.#issuer.certificate;
  }

  /** Where the issuer's chain ends; the issuer itself where that is self-signed. */
  get root(): Certificate {
    return this.#root;
  }

  /** By then every certificate that was signed here up to now has ended. */
  get latestNotAfterMs(): number {
    return Math.max(this.#latestNotAfterMs, this.#clock.now() + this.#limits.defaultTtlMs);
  }

  /**
   * Signs with other material from now on, and trusts its roots and further ones; false when nothing is new. Throws
   * CA_MATERIAL_INVALID and keeps what was there when it is bad.
   */
  replace(material: AuthorityMaterial, furtherRoots = ""): boolean {
    const isSame = isSameMaterial(material, this.#material);
    if (isSame && furtherRoots === this.#furtherRoots) return false;
    if (!isSame) {
      ({ issuer: this.#issuer, root: this.#root } = checkMaterial(material, this.#clock.now()));
      this.#material = material;
    }
    this.#furtherRoots = furtherRoots;
    this.#trusted = trustBundle(material.rootCertificates, furtherRoots);
    this.#upperChain = this.#chainAboveLeaves();
    for (const subscriber of this.#subscribers) subscriber();
    return true;
  }

  onChange(callback: () => void): () => void {
    this.#subscribers.add(callback);
    return () => this.#subscribers.delete(callback);
  }

  /**
   * Signs a request (PEM) for one SPIFFE id. A lifetime of 0 means the default. Throws X509_INVALID for a bad request,
   * CA_TTL_TOO_LONG above the limit, and CA_EXPIRED.
   */
  signWorkload(requestPem: string, spiffeId: string, ttlMs: number): IssuedCertificate {
    const wanted = ttlMs === 0 ? this.#limits.defaultTtlMs : ttlMs;
    if (wanted > this.#limits.maxTtlMs) {
      throw new OutriggerError(
        "CA_TTL_TOO_LONG",
        `a lifetime of ${wanted / 1000} s is longer than the limit of ${this.#limits.maxTtlMs / 1000} s`,
      );
    }
    const request = parseCertificateRequest(requestPem);
    const leaf = this.#issue(request.publicKeyInfo, { uris: [spiffeId] }, Math.max(wanted, minTtlMs));
    const { serialNumber, notBeforeMs, notAfterMs } = parseCertificate(leaf);
    this.#latestNotAfterMs = Math.max(this.#latestNotAfterMs, notAfterMs);
    return { chain: [leaf, ...this.#upperChain], serialNumber, notBeforeMs, notAfterMs };
  }

  /** A key and a certificate for the control plane's own servers. Throws CA_EXPIRED. */
  issueServing(dnsNames: readonly string[], ttlMs: number = this.#limits.defaultTtlMs): ServingCertificate {
    const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const leaf = this.#issue(publicKey.export({ format: "der", type: "spki" }), { dnsNames }, ttlMs);
    return {
      certificateChain: [leaf, ...intermediates(this.#material)].join(""),
      privateKey: privateKey.export({ format: "pem", type: "pkcs8" }) as string,
      notAfterMs: parseCertificate(leaf).notAfterMs,
    };
  }

  #issue(publicKeyInfo: Buffer, names: { uris?: string[]; dnsNames?: readonly string[] }, ttlMs: number): string {
    const now = this.#clock.now();
    // A certificate is no better than what it leads to.
    const lastMs = Math.min(this.#issuer.certificate.notAfterMs, this.#root.notAfterMs);
    if (lastMs <= now) {
      throw new OutriggerError("CA_EXPIRED", `the CA's certificate expired at ${new Date(lastMs).toISOString()}`);
    }
    return issueLeaf(this.#issuer, {
      publicKeyInfo,
      names,
      notBeforeMs: now - Math.min(maxBackdateMs, ttlMs / 10),
      notAfterMs: Math.min(now + ttlMs, lastMs),
    });
  }

  /** Clients that look at one root only take the last. */
  #chainAboveLeaves(): readonly string[] {
    const roots = splitCertificates(this.#trusted);
    const isOwn = (pem: string): boolean => parseCertificate(pem).der.equals(this.#root.der);
    return [...intermediates(this.#material), ...roots.filter((pem) => !isOwn(pem)), ...roots.filter(isOwn)];
  }
}

function intermediates(material: AuthorityMaterial): readonly string[] {
  const roots = splitCertificates(material.rootCertificates);
  const between = splitCertificates(material.certificateChain).filter((pem) => !roots.includes(pem));
  const own = splitCertificates(material.caCertificate)[0] ?? "";
  // A plugged-in CA without a chain file is itself the only intermediate.
  return between.length > 0 || roots.includes(own) ? between : [own];
}

/** Sorted where there are further roots, so that replicas that are not at the same step write the same text. */
function trustBundle(roots: string, further: string): string {
  const all = splitCertificates(mergeCertificates([roots, further]));
  return all.length === splitCertificates(mergeCertificates([roots])).length ? roots : all.sort().join("");
}
