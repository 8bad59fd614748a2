// Making X.509 v3 certificates (RFC 5280 profile; SPIFFE X509-SVID for leaves): TBSCertificate as DER, signed by
// node:crypto. Extensions of a leaf are the ones Istio's CA writes.
import { createHash, createPrivateKey, type KeyObject, randomBytes } from "node:crypto";
import { parseAddress } from "#base/net/address-bytes.ts";
import { type Certificate, extensionId, parseCertificate } from "./certificate.ts";
import {
  bitString,
  contextTag,
  derError,
  derTrue,
  element,
  objectIdentifier,
  octetString,
  sequence,
  tag,
  time,
  unsignedInteger,
  utf8String,
} from "./der.ts";
import { encodePem } from "./pem.ts";
import { signerFor } from "./signature.ts";

export interface NameFields {
  readonly organization?: string;
  readonly commonName?: string;
}

export interface RequestedNames {
  readonly uris?: readonly string[];
  readonly dnsNames?: readonly string[];
  readonly ipAddresses?: readonly string[];
}

/** Who signs: the certificate and its key. */
export interface Issuer {
  readonly certificate: Certificate;
  readonly privateKey: KeyObject;
}

export interface LeafRequest {
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKeyInfo: Buffer;
  readonly names: RequestedNames;
  /** An empty subject makes the alternative names critical, as RFC 5280 says. DER where it is a request's. */
  readonly subject?: NameFields | Buffer;
  /** Default: signatures and key encipherment, by servers and clients. */
  readonly usage?: LeafUsage;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

export interface LeafUsage {
  /** Bits of KeyUsage (RFC 5280 4.2.1.3), the first in the highest. */
  readonly keyUsage: number;
  /** Identifiers of extended uses, dotted. */
  readonly extended: readonly string[];
}

export interface AuthorityRequest {
  readonly publicKeyInfo: Buffer;
  /** DER where it is another certificate's name. */
  readonly subject: NameFields | Buffer;
  /** That of the certificate that is renewed; default from the key. */
  readonly subjectKeyId?: Buffer;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

const workloadUsage: LeafUsage = { keyUsage: 0b10100000, extended: ["1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"] };

export function issueLeaf(issuer: Issuer, request: LeafRequest): string {
  const { usage = workloadUsage } = request;
  const subject = Buffer.isBuffer(request.subject) ? request.subject : encodeName(request.subject ?? {});
  const altNames = encodeSubjectAltNames(request.names);
  const isNamed = altNames.length > 2;
  return sign(issuer.privateKey, {
    ...request,
    issuerName: issuer.certificate.subject,
    subject,
    extensions: [
      ...(usage.keyUsage === 0 ? [] : [extension(extensionId.keyUsage, true, keyUsage(usage.keyUsage))]),
      ...(usage.extended.length === 0
        ? []
        : [extension(extensionId.extendedKeyUsage, false, sequence(...usage.extended.map(objectIdentifier)))]),
      extension(extensionId.basicConstraints, true, sequence()),
      extension(extensionId.authorityKeyIdentifier, false, authorityKeyId(issuer.certificate)),
      ...(isNamed ? [extension(extensionId.subjectAltName, subject.length === 2, altNames)] : []),
    ],
  });
}

/** A certificate authority: self-signed without an issuer, an intermediate with one. */
export function issueAuthority(privateKey: KeyObject, request: AuthorityRequest, issuer?: Issuer): string {
  const subject = Buffer.isBuffer(request.subject) ? request.subject : encodeName(request.subject);
  const ownKeyId = request.subjectKeyId ?? keyId(request.publicKeyInfo);
  return sign(issuer?.privateKey ?? privateKey, {
    ...request,
    issuerName: issuer?.certificate.subject ?? subject,
    subject,
    extensions: [
      extension(extensionId.keyUsage, true, keyUsage(0b00000110)),
      extension(extensionId.basicConstraints, true, sequence(derTrue)),
      extension(extensionId.subjectKeyIdentifier, false, octetString(ownKeyId)),
      ...(issuer === undefined
        ? []
        : [extension(extensionId.authorityKeyIdentifier, false, authorityKeyId(issuer.certificate))]),
    ],
  });
}

/** Pairs a PEM certificate with its PEM key; throws when either cannot be read. */
export function readIssuer(certificatePem: string, privateKeyPem: string): Issuer {
  return { certificate: parseCertificate(certificatePem), privateKey: createPrivateKey(privateKeyPem) };
}

interface Unsigned {
  readonly issuerName: Buffer;
  readonly subject: Buffer;
  readonly publicKeyInfo: Buffer;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly extensions: readonly Buffer[];
}

const version3 = element(contextTag(0, true), unsignedInteger(Buffer.of(2)));

function sign(privateKey: KeyObject, unsigned: Unsigned): string {
  const signer = signerFor(privateKey);
  const tbs = sequence(
    version3,
    unsignedInteger(newSerialNumber()),
    signer.algorithm,
    unsigned.issuerName,
    sequence(time(unsigned.notBeforeMs), time(unsigned.notAfterMs)),
    unsigned.subject,
    unsigned.publicKeyInfo,
    element(contextTag(3, true), sequence(...unsigned.extensions)),
  );
  return encodePem("CERTIFICATE", sequence(tbs, signer.algorithm, bitString(signer.sign(tbs))));
}

function newSerialNumber(): Buffer {
  const serial = randomBytes(16);
  // Positive and never shorter than 16 bytes, so that the number is unique by chance alone.
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40;
  return serial;
}

function extension(id: string, critical: boolean, value: Buffer): Buffer {
  return critical
    ? sequence(objectIdentifier(id), derTrue, octetString(value))
    : sequence(objectIdentifier(id), octetString(value));
}

function keyUsage(bits: number): Buffer {
  let unused = 0;
  while (((bits >> unused) & 1) === 0) unused++;
  return bitString(Buffer.of(bits), unused);
}

/** Method 1 of RFC 5280 section 4.2.1.2 asks for SHA-1; this is RFC 7093's method 1, SHA-256 cut to 160 bits. */
function keyId(publicKeyInfo: Buffer): Buffer {
  return createHash("sha256").update(publicKeyInfo).digest().subarray(0, 20);
}

function authorityKeyId(issuer: Certificate): Buffer {
  return sequence(element(contextTag(0, false), issuer.subjectKeyId ?? keyId(issuer.publicKeyInfo)));
}

export function encodeName(fields: NameFields): Buffer {
  const parts: Buffer[] = [];
  if (fields.organization !== undefined) parts.push(nameAttribute("2.5.4.10", fields.organization));
  if (fields.commonName !== undefined) parts.push(nameAttribute("2.5.4.3", fields.commonName));
  return sequence(...parts);
}

function nameAttribute(id: string, value: string): Buffer {
  return element(tag.set, sequence(objectIdentifier(id), utf8String(value)));
}

export function encodeSubjectAltNames(names: RequestedNames): Buffer {
  return sequence(
    ...(names.uris ?? []).map((uri) => element(contextTag(6, false), Buffer.from(uri, "latin1"))),
    ...(names.dnsNames ?? []).map((name) => element(contextTag(2, false), Buffer.from(name, "latin1"))),
    ...(names.ipAddresses ?? []).map((address) => element(contextTag(7, false), addressBytes(address))),
  );
}

function addressBytes(address: string): Uint8Array {
  const bytes = parseAddress(address);
  if (bytes === null) throw derError(`"${address}" is not an IP address`);
  return bytes;
}
