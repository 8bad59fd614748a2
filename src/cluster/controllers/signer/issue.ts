// A certificate for a CertificateSigningRequest: names and key of the request, uses and life as its spec says. Pure.

import { addressText } from "#base/net/address-bytes.ts";
import { parseCertificate } from "#wire/x509/certificate.ts";
import { parseCertificateRequest } from "#wire/x509/certificate-request.ts";
import { issueLeaf, type LeafUsage, readIssuer } from "#wire/x509/issue-certificate.ts";

export interface SigningKey {
  /** PEM. What stands behind the first certificate is sent along: intermediates up to a root. */
  readonly certificate: string;
  readonly privateKey: string;
}

export interface WantedCertificate {
  /** PEM. */
  readonly request: string;
  readonly usages: readonly string[];
  /** Undefined for a year. */
  readonly expirationSeconds: number | undefined;
}

const yearSeconds = 365 * 86_400;
/** As Kubernetes' signers, for clocks that are behind. */
const backdateMs = 300_000;

const keyUsageBits: Readonly<Record<string, number>> = {
  signing: 0b10000000,
  "digital signature": 0b10000000,
  "content commitment": 0b01000000,
  "key encipherment": 0b00100000,
  "data encipherment": 0b00010000,
  "key agreement": 0b00001000,
};

const extendedUsages: Readonly<Record<string, string>> = {
  any: "2.5.29.37.0",
  "server auth": "1.3.6.1.5.5.7.3.1",
  "client auth": "1.3.6.1.5.5.7.3.2",
  "code signing": "1.3.6.1.5.5.7.3.3",
  "email protection": "1.3.6.1.5.5.7.3.4",
  "s/mime": "1.3.6.1.5.5.7.3.4",
  timestamping: "1.3.6.1.5.5.7.3.8",
  "ocsp signing": "1.3.6.1.5.5.7.3.9",
};

export type Issued = { readonly pem: string } | { readonly refused: string };

export function issueCertificate(key: SigningKey, wanted: WantedCertificate, nowMs: number): Issued {
  const usage = usageOf(wanted.usages);
  if (typeof usage === "string") return { refused: usage };
  const { publicKeyInfo, subject, subjectAltNames: names } = parseCertificateRequest(wanted.request);
  if (names.emails.length + names.otherNames.length > 0)
    return { refused: "it asks for names other than DNS, IP and URI" };
  const issuer = readIssuer(key.certificate, key.privateKey);
  const { notAfterMs, isCa } = issuer.certificate;
  if (!isCa) return { refused: "the signer's certificate may not sign" };
  if (notAfterMs <= nowMs)
    return { refused: `the signer's certificate ended at ${new Date(notAfterMs).toISOString()}` };
  const leaf = issueLeaf(issuer, {
    publicKeyInfo,
    subject,
    names: { uris: names.uris, dnsNames: names.dnsNames, ipAddresses: names.ipAddresses.map(addressText) },
    usage,
    notBeforeMs: Math.max(nowMs - backdateMs, issuer.certificate.notBeforeMs),
    notAfterMs: Math.min(nowMs + (wanted.expirationSeconds ?? yearSeconds) * 1000, notAfterMs),
  });
  const own = parseCertificate(key.certificate);
  const isRoot = own.subject.equals(own.issuer);
  return { pem: isRoot ? leaf : `${leaf}${key.certificate}` };
}

/** Why not, for one that a leaf cannot have here. */
function usageOf(usages: readonly string[]): LeafUsage | string {
  let keyUsage = 0;
  const extended = new Set<string>();
  for (const usage of usages) {
    const [bit, id] = [keyUsageBits[usage], extendedUsages[usage]];
    if (bit !== undefined) keyUsage |= bit;
    else if (id !== undefined) extended.add(id);
    else return `usage "${usage}" is not signed here`;
  }
  return { keyUsage, extended: [...extended] };
}
