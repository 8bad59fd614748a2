// The certificate authority's own key and certificates, as operators plug them in (Istio's `cacerts` file names) or as
// we make them. Checks that the four parts belong together before anything is signed with them.
import { createPublicKey, generateKeyPairSync } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { OutriggerError } from "#base/error.ts";
import { parseCertificate } from "#wire/x509/certificate.ts";
import { type Issuer, issueAuthority, readIssuer } from "#wire/x509/issue-certificate.ts";
import { splitCertificates } from "#wire/x509/pem.ts";

/** All PEM. */
export interface AuthorityMaterial {
  readonly caCertificate: string;
  readonly caKey: string;
  /** From the CA's certificate up to, and without, the root; empty for a self-signed root. */
  readonly certificateChain: string;
  /** The trust anchors that workloads are given; several during a rotation. */
  readonly rootCertificates: string;
}

export const materialFiles = {
  caCertificate: "ca-cert.pem",
  caKey: "ca-key.pem",
  certificateChain: "cert-chain.pem",
  rootCertificates: "root-cert.pem",
} as const;

const yearMs = 365 * 86_400_000;

/** A new P-256 root, valid for ten years. */
export function createSelfSignedMaterial(trustDomain: string, nowMs: number): AuthorityMaterial {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const certificate = issueAuthority(privateKey, {
    publicKeyInfo: publicKey.export({ format: "der", type: "spki" }),
    subject: { organization: trustDomain },
    notBeforeMs: nowMs - 120_000,
    notAfterMs: nowMs + 10 * yearMs,
  });
  return {
    caCertificate: certificate,
    caKey: privateKey.export({ format: "pem", type: "pkcs8" }) as string,
    certificateChain: "",
    rootCertificates: certificate,
  };
}

/** Reads material from named parts; undefined when there is no certificate and no key. Accepts `tls.crt` names too. */
export function readMaterial(part: (name: string) => string | undefined): AuthorityMaterial | undefined {
  const caCertificate = part(materialFiles.caCertificate) ?? part("tls.crt");
  const caKey = part(materialFiles.caKey) ?? part("tls.key");
  if (caCertificate === undefined && caKey === undefined) return undefined;
  if (caCertificate === undefined || caKey === undefined) throw invalid("certificate and key must both be given");
  return {
    caCertificate,
    caKey,
    certificateChain: part(materialFiles.certificateChain) ?? "",
    // A self-signed CA may leave the root out: it is its own.
    rootCertificates: part(materialFiles.rootCertificates) || part("ca.crt") || caCertificate,
  };
}

export function readMaterialFolder(folder: string): AuthorityMaterial | undefined {
  return readMaterial((name) => {
    const path = join(folder, name);
    return existsSync(path) ? readFileSync(path, "utf8") : undefined;
  });
}

/** Pairs certificate and key after checking all of the material; throws CA_MATERIAL_INVALID with the reason. */
export function checkMaterial(material: AuthorityMaterial, nowMs: number): Issuer {
  let issuer: Issuer;
  try {
    issuer = readIssuer(material.caCertificate, material.caKey);
  } catch (cause) {
    throw invalid("the CA's certificate or key cannot be read", cause);
  }
  const { certificate, privateKey } = issuer;
  const ownKey = createPublicKey(privateKey).export({ format: "der", type: "spki" });
  if (!certificate.publicKeyInfo.equals(ownKey)) throw invalid("the CA's key does not belong to its certificate");
  if (!certificate.isCa) throw invalid("the CA's certificate may not sign certificates (CA:FALSE)");
  if (certificate.notAfterMs <= nowMs) {
    throw invalid(`the CA's certificate expired at ${new Date(certificate.notAfterMs).toISOString()}`);
  }
  const roots = readAll(material.rootCertificates, "root");
  if (roots.length === 0) throw invalid("there is no root certificate");
  checkPath(issuer, readAll(material.certificateChain, "chain"), roots);
  return issuer;
}

type Parsed = ReturnType<typeof parseCertificate>;

function checkPath(issuer: Issuer, chain: readonly Parsed[], roots: readonly Parsed[]): void {
  const byIssuer = [...chain, ...roots];
  let current: Parsed = issuer.certificate;
  for (let step = 0; step <= chain.length + 1; step++) {
    const child = current;
    if (roots.some((root) => root.der.equals(child.der))) return;
    const parent = byIssuer.find((candidate) => candidate.subject.equals(child.issuer) && candidate !== child);
    if (parent === undefined) break;
    current = parent;
  }
  throw invalid("the chain does not lead from the CA's certificate to a root certificate");
}

function readAll(bundle: string, name: string): Parsed[] {
  try {
    return splitCertificates(bundle).map((pem) => parseCertificate(pem));
  } catch (cause) {
    throw invalid(`a ${name} certificate cannot be read`, cause);
  }
}

function invalid(message: string, cause?: unknown): OutriggerError {
  return new OutriggerError("CA_MATERIAL_INVALID", message, cause === undefined ? undefined : { cause });
}
