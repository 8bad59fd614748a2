// The certificate authority: names workloads by the identity they proved, never by what their request asks for.
import { generateKeyPairSync } from "node:crypto";
import { OutriggerError } from "#base/error.ts";
import type { Clock } from "#base/time/clock.ts";
import { parseCertificate } from "#wire/x509/certificate.ts";
import { parseCertificateRequest } from "#wire/x509/certificate-request.ts";
import { type Issuer, issueLeaf } from "#wire/x509/issue-certificate.ts";
import { splitCertificates } from "#wire/x509/pem.ts";
import { type AuthorityMaterial, checkMaterial } from "./material.ts";

export interface AuthorityLimits {
  readonly defaultTtlMs: number;
  readonly maxTtlMs: number;
}

const defaultAuthorityLimits: AuthorityLimits = { defaultTtlMs: 86_400_000, maxTtlMs: 90 * 86_400_000 };

export interface IssuedCertificate {
  /** PEM each: the leaf, intermediates, the root. */
  readonly chain: readonly string[];
  readonly serialNumber: string;
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
  #upperChain: readonly string[];
  #material: AuthorityMaterial;

  constructor(material: AuthorityMaterial, clock: Clock, limits: AuthorityLimits = defaultAuthorityLimits) {
    this.#clock = clock;
    this.#limits = limits;
    this.#material = material;
    this.#issuer = checkMaterial(material, clock.now());
    this.#upperChain = upperChain(material);
  }

  /** PEM bundle of the trust anchors. */
  get rootCertificates(): string {
    return this.#material.rootCertificates;
  }

  get notAfterMs(): number {
    return this.#issuer.certificate.notAfterMs;
  }

  /**
   * Signs with other material from now on; false when it is the same. Throws CA_MATERIAL_INVALID and keeps the old one
   * when it is bad.
   */
  replace(material: AuthorityMaterial): boolean {
    if (JSON.stringify(material) === JSON.stringify(this.#material)) return false;
    this.#issuer = checkMaterial(material, this.#clock.now());
    this.#material = material;
    this.#upperChain = upperChain(material);
    for (const subscriber of this.#subscribers) subscriber();
    return true;
  }

  onChange(callback: () => void): () => void {
    this.#subscribers.add(callback);
    return () => this.#subscribers.delete(callback);
  }

  /**
   * Signs a request (PEM) for one SPIFFE id. A lifetime of 0 means the default. Throws X509_INVALID for a bad request
   * and CA_TTL_TOO_LONG above the limit.
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
    const { serialNumber, notAfterMs } = parseCertificate(leaf);
    return { chain: [leaf, ...this.#upperChain], serialNumber, notAfterMs };
  }

  /** A key and a certificate for the control plane's own servers. */
  issueServing(dnsNames: readonly string[], ttlMs: number = this.#limits.defaultTtlMs): ServingCertificate {
    const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const leaf = this.#issue(publicKey.export({ format: "der", type: "spki" }), { dnsNames }, ttlMs);
    return {
      certificateChain: [leaf, ...splitCertificates(this.#material.certificateChain)].join(""),
      privateKey: privateKey.export({ format: "pem", type: "pkcs8" }) as string,
      notAfterMs: parseCertificate(leaf).notAfterMs,
    };
  }

  #issue(publicKeyInfo: Buffer, names: { uris?: string[]; dnsNames?: readonly string[] }, ttlMs: number): string {
    const now = this.#clock.now();
    return issueLeaf(this.#issuer, {
      publicKeyInfo,
      names,
      notBeforeMs: now - Math.min(maxBackdateMs, ttlMs / 10),
      notAfterMs: Math.min(now + ttlMs, this.#issuer.certificate.notAfterMs),
    });
  }
}

function upperChain(material: AuthorityMaterial): readonly string[] {
  const roots = splitCertificates(material.rootCertificates);
  const intermediates = splitCertificates(material.certificateChain).filter((pem) => !roots.includes(pem));
  const own = splitCertificates(material.caCertificate)[0] ?? "";
  // A plugged-in CA without a chain file is itself the only intermediate.
  if (intermediates.length === 0 && !roots.includes(own)) intermediates.push(own);
  return [...intermediates, ...roots];
}
