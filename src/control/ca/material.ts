// The certificate authority's own key and certificates, as operators plug them in (Istio's `cacerts` file names) or as
// we make them. Checks that the four parts belong together before anything is signed with them.
import { createPublicKey, generateKeyPairSync, X509Certificate } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { OutriggerError } from "#base/error.ts";
import { type Certificate, parseCertificate } from "#wire/x509/certificate.ts";
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

/** Revocation lists of a plugged-in CA, beside the other four. */
export const revocationFile = "ca-crl.pem";

export const defaultRootTtlMs: number = 10 * 365 * 86_400_000;
const rootBackdateMs = 120_000;

/** A new P-256 root. */
export function createSelfSignedMaterial(
  trustDomain: string,
  nowMs: number,
  ttlMs: number = defaultRootTtlMs,
): AuthorityMaterial {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const certificate = issueAuthority(privateKey, {
    publicKeyInfo: publicKey.export({ format: "der", type: "spki" }),
    subject: { organization: trustDomain },
    ...rootLife(nowMs, ttlMs),
  });
  return selfSigned(certificate, privateKey.export({ format: "pem", type: "pkcs8" }) as string);
}

/**
 * A new certificate for the key of a self-signed root, under the same name, as istiod renews its root: what the old one
 * has signed leads to the new one too.
 */
export function renewSelfSignedMaterial(material: AuthorityMaterial, nowMs: number, ttlMs: number): AuthorityMaterial {
  const { certificate, privateKey } = readIssuer(material.caCertificate, material.caKey);
  const renewed = issueAuthority(privateKey, {
    publicKeyInfo: certificate.publicKeyInfo,
    subject: certificate.subject,
    ...(certificate.subjectKeyId !== undefined && { subjectKeyId: certificate.subjectKeyId }),
    ...rootLife(nowMs, ttlMs),
  });
  const others = splitCertificates(material.rootCertificates).filter(
    (pem) => !parseCertificate(pem).der.equals(certificate.der),
  );
  return { ...selfSigned(renewed, material.caKey), rootCertificates: [renewed, ...others].join("") };
}

function rootLife(nowMs: number, ttlMs: number): { notBeforeMs: number; notAfterMs: number } {
  return { notBeforeMs: nowMs - Math.min(rootBackdateMs, ttlMs / 10), notAfterMs: nowMs + ttlMs };
}

function selfSigned(certificate: string, caKey: string): AuthorityMaterial {
  return { caCertificate: certificate, caKey, certificateChain: "", rootCertificates: certificate };
}

export function isSameMaterial(a: AuthorityMaterial, b: AuthorityMaterial): boolean {
  return (
    a.caCertificate === b.caCertificate &&
    a.caKey === b.caKey &&
    a.certificateChain === b.certificateChain &&
    a.rootCertificates === b.rootCertificates
  );
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

export interface CheckedMaterial {
  readonly issuer: Issuer;
  /** The trust anchor of its chain: the issuer itself where that is self-signed. */
  readonly root: Certificate;
}

/** Pairs certificate and key after checking all of the material; throws CA_MATERIAL_INVALID with the reason. */
export function checkMaterial(material: AuthorityMaterial, nowMs: number): CheckedMaterial {
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
  const roots = readAll(material.rootCertificates, "root");
  if (roots.length === 0) throw invalid("there is no root certificate");
  const path = pathToRoot(certificate, readAll(material.certificateChain, "chain"), roots);
  if (path === undefined) throw invalid("the chain does not lead from the CA's certificate to a root certificate");
  for (const [step, { notAfterMs }] of path.entries()) {
    if (notAfterMs > nowMs) continue;
    const whose = step === 0 ? "the CA's" : step === path.length - 1 ? "the root" : "an intermediate";
    throw invalid(`${whose} certificate expired at ${new Date(notAfterMs).toISOString()}`);
  }
  return { issuer, root: path.at(-1) ?? certificate };
}

/** Whether a chain of signatures leads from the certificate, over others, to one of the roots. */
export function leadsToRoot(
  certificate: Certificate,
  chain: readonly Certificate[],
  roots: readonly Certificate[],
): boolean {
  return pathToRoot(certificate, chain, roots) !== undefined;
}

/** From the certificate up to a root, both included; of several ways the one whose root lives longest. */
function pathToRoot(
  certificate: Certificate,
  chain: readonly Certificate[],
  roots: readonly Certificate[],
): readonly Certificate[] | undefined {
  const path = [certificate];
  for (let step = 0; step <= chain.length; step++) {
    const child = path.at(-1) ?? certificate;
    const own = roots.find((root) => root.der.equals(child.der));
    if (own !== undefined) return path;
    const [root] = roots.filter((parent) => isSignedBy(child, parent)).sort((a, b) => b.notAfterMs - a.notAfterMs);
    if (root !== undefined) return [...path, root];
    const parent = chain.find((candidate) => !path.includes(candidate) && isSignedBy(child, candidate));
    if (parent === undefined) return undefined;
    path.push(parent);
  }
  return undefined;
}

function isSignedBy(child: Certificate, parent: Certificate): boolean {
  return (
    parent.subject.equals(child.issuer) &&
    new X509Certificate(child.der).verify(new X509Certificate(parent.der).publicKey)
  );
}

function readAll(bundle: string, name: string): Certificate[] {
  try {
    return splitCertificates(bundle).map((pem) => parseCertificate(pem));
  } catch (cause) {
    throw invalid(`a ${name} certificate cannot be read`, cause);
  }
}

function invalid(message: string, cause?: unknown): OutriggerError {
  return new OutriggerError("CA_MATERIAL_INVALID", message, cause === undefined ? undefined : { cause });
}
