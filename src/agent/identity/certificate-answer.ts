// Checks what the certificate service answered and turns it into secrets. Pure.
import type { KeyObject } from "node:crypto";
import { createPublicKey } from "node:crypto";
import { OutriggerError } from "#base/error.ts";
import { parseSpiffeId } from "#wire/spiffe/spiffe-id.ts";
import type { TlsCertificate } from "#wire/tls/secrets.ts";
import { type Certificate, parseCertificate } from "#wire/x509/certificate.ts";
import { splitCertificates } from "#wire/x509/pem.ts";

export interface IssuedIdentity {
  readonly certificate: TlsCertificate;
  /** PEM of the roots at the end of the chain: several during a rotation, empty when it carries none. */
  readonly roots: string;
}

/** Certificates of an answer, roots of a long rotation among them. */
const maxChainLength = 32;

/** Throws CA_ANSWER_INVALID unless the leaf is for this key, is valid now and names a SPIFFE id. */
export function readAnswer(chain: readonly string[], privateKey: KeyObject, nowMs: number): IssuedIdentity {
  const pems = chain.flatMap(splitCertificates);
  if (pems.length === 0) throw invalid("the chain is empty");
  if (pems.length > maxChainLength) throw invalid(`the chain has ${pems.length} certificates`);
  const certificates = pems.map((pem) => ({ pem, certificate: read(pem) }));
  const [leaf, ...issuers] = certificates;
  if (leaf === undefined) throw invalid("the chain is empty");
  const publicKeyInfo = createPublicKey(privateKey).export({ format: "der", type: "spki" });
  if (!leaf.certificate.publicKeyInfo.equals(publicKeyInfo)) throw invalid("the leaf is for another key");
  if (leaf.certificate.notAfterMs <= nowMs) throw invalid("the leaf has expired already");
  const spiffeId = leaf.certificate.subjectAltNames.uris.find((uri) => parseSpiffeId(uri) !== undefined);
  if (spiffeId === undefined) throw invalid("the leaf names no SPIFFE id");
  const isRoot = issuers.map(({ certificate }) => isSelfIssued(certificate));
  const upper = isRoot.lastIndexOf(false) + 1;
  // Peers have the roots already; sending them would only make handshakes larger.
  const presented = [leaf, ...issuers.slice(0, upper)];
  return {
    certificate: {
      certificateChain: joinPem(presented.map(({ pem }) => pem)),
      privateKey: privateKey.export({ format: "pem", type: "pkcs8" }).toString(),
      notBeforeMs: leaf.certificate.notBeforeMs,
      notAfterMs: leaf.certificate.notAfterMs,
      serialNumber: leaf.certificate.serialNumber,
      spiffeId,
    },
    roots: joinPem(issuers.slice(upper).map(({ pem }) => pem)),
  };
}

function joinPem(pems: readonly string[]): string {
  return pems.map((pem) => (pem.endsWith("\n") ? pem : `${pem}\n`)).join("");
}

function isSelfIssued(certificate: Certificate): boolean {
  return certificate.isCa && certificate.issuer.equals(certificate.subject);
}

function read(pem: string): Certificate {
  try {
    return parseCertificate(pem);
  } catch (cause) {
    throw new OutriggerError("CA_ANSWER_INVALID", "the chain holds something that is no certificate", { cause });
  }
}

function invalid(message: string): OutriggerError {
  return new OutriggerError("CA_ANSWER_INVALID", message);
}
