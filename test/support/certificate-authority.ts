// A CA as an operator has one: roots, intermediates under them, and Secret `cacerts` as text.
import { createPrivateKey, generateKeyPairSync } from "node:crypto";
import { type AuthorityMaterial, createSelfSignedMaterial } from "#control/ca/material.ts";
import { intermediateOf } from "#control/ca/testing/intermediate.ts";
import { parseCertificate } from "#wire/x509/certificate.ts";
import { issueLeaf, readIssuer } from "#wire/x509/issue-certificate.ts";
import { revocationListOf } from "#wire/x509/testing/revocation.ts";

export class OperatorAuthority {
  readonly #root: AuthorityMaterial;

  constructor(name: string, rootTtlMs: number) {
    this.#root = createSelfSignedMaterial(name, Date.now(), rootTtlMs);
  }

  /** Secret `cacerts` with a new intermediate, and when that ends. */
  issue(issuerTtlMs: number): { readonly cacerts: string; readonly notAfterMs: number } {
    const material = intermediateOf(this.#root, Date.now(), issuerTtlMs);
    return { cacerts: cacertsOf(material), notAfterMs: parseCertificate(material.caCertificate).notAfterMs };
  }
}

/** Secret `cacerts`, with revocation lists where there are any. */
export function cacertsOf(material: AuthorityMaterial, revocationLists?: string): string {
  const { caCertificate, caKey, certificateChain, rootCertificates } = material;
  const lists = revocationLists === undefined ? "" : block("ca-crl.pem", revocationLists);
  return `apiVersion: v1
kind: Secret
metadata:
  name: cacerts
  namespace: istio-system
stringData:
${block("ca-cert.pem", caCertificate)}${block("ca-key.pem", caKey)}${block("cert-chain.pem", certificateChain)}${block("root-cert.pem", rootCertificates)}${lists}`;
}

export interface LeafOfOperator {
  /** PEM, without who signed it. */
  readonly certificate: string;
  readonly key: string;
  /** Hexadecimal. */
  readonly serialNumber: string;
}

/** A certificate that the operator's CA gave to somebody. */
export function leafOf(material: AuthorityMaterial, spiffeId: string): LeafOfOperator {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const certificate = issueLeaf(readIssuer(material.caCertificate, material.caKey), {
    publicKeyInfo: publicKey.export({ format: "der", type: "spki" }),
    names: { uris: [spiffeId] },
    notBeforeMs: Date.now() - 1000,
    notAfterMs: Date.now() + 3_600_000,
  });
  const key = privateKey.export({ format: "pem", type: "pkcs8" }) as string;
  return { certificate, key, serialNumber: parseCertificate(certificate).serialNumber };
}

/** A list of the CA itself, good for an hour. */
export function revocationsOf(material: AuthorityMaterial, serialNumbers: readonly string[]): string {
  const nowMs = Date.now();
  const key = createPrivateKey(material.caKey);
  const life = { thisUpdateMs: nowMs - 1000, nextUpdateMs: nowMs + 3_600_000 };
  return revocationListOf(material.caCertificate, key, { serialNumbers, ...life });
}

export function block(name: string, text: string): string {
  return `  ${name}: |\n${text.trimEnd().replace(/^/gm, "    ")}\n`;
}
