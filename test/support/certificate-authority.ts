// A CA as an operator has one: roots, intermediates under them, and Secret `cacerts` as text.
import { type AuthorityMaterial, createSelfSignedMaterial } from "#control/ca/material.ts";
import { intermediateOf } from "#control/ca/testing/intermediate.ts";
import { parseCertificate } from "#wire/x509/certificate.ts";

export class OperatorAuthority {
  readonly #root: AuthorityMaterial;

  constructor(name: string, rootTtlMs: number) {
    this.#root = createSelfSignedMaterial(name, Date.now(), rootTtlMs);
  }

  /** Secret `cacerts` with a new intermediate, and when that ends. */
  issue(issuerTtlMs: number): { readonly cacerts: string; readonly notAfterMs: number } {
    const material = intermediateOf(this.#root, Date.now(), issuerTtlMs);
    const cacerts = `apiVersion: v1
kind: Secret
metadata:
  name: cacerts
  namespace: istio-system
stringData:
${block("ca-cert.pem", material.caCertificate)}${block("ca-key.pem", material.caKey)}${block("cert-chain.pem", material.certificateChain)}${block("root-cert.pem", material.rootCertificates)}`;
    return { cacerts, notAfterMs: parseCertificate(material.caCertificate).notAfterMs };
  }
}

function block(name: string, text: string): string {
  return `  ${name}: |\n${text.trimEnd().replace(/^/gm, "    ")}\n`;
}
