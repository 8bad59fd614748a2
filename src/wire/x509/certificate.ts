// Reading X.509 v3 certificates (RFC 5280): the fields that a mesh asks for. Does not verify chains; TLS does.
import {
  contextTag,
  type DerElement,
  DerReader,
  derError,
  readBitString,
  readObjectIdentifier,
  readTime,
  tag,
} from "./der.ts";
import { decodeOnePem } from "./pem.ts";

export const extensionId = {
  subjectKeyIdentifier: "2.5.29.14",
  keyUsage: "2.5.29.15",
  subjectAltName: "2.5.29.17",
  basicConstraints: "2.5.29.19",
  authorityKeyIdentifier: "2.5.29.35",
  extendedKeyUsage: "2.5.29.37",
} as const;

export interface SubjectAltNames {
  readonly uris: readonly string[];
  readonly dnsNames: readonly string[];
  /** Raw addresses of 4 or 16 bytes. */
  readonly ipAddresses: readonly Buffer[];
  readonly emails: readonly string[];
  /** Names of other types whose value is a string. */
  readonly otherNames: readonly OtherName[];
}

interface OtherName {
  /** The type, dotted. */
  readonly oid: string;
  readonly value: string;
}

export interface Certificate {
  readonly der: Buffer;
  /** Lower-case hexadecimal, without leading zeros. */
  readonly serialNumber: string;
  /** Names and keys as DER, for copying and comparing. */
  readonly issuer: Buffer;
  readonly subject: Buffer;
  readonly publicKeyInfo: Buffer;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly isCa: boolean;
  /** A CA, or its key may sign certificates or revocation lists. */
  readonly maySign: boolean;
  readonly subjectKeyId: Buffer | undefined;
  readonly subjectAltNames: SubjectAltNames;
}

/** Reads one certificate, PEM or DER; throws X509_INVALID. */
export function parseCertificate(input: string | Uint8Array): Certificate {
  const der = typeof input === "string" ? decodeOnePem(["CERTIFICATE"], input) : Buffer.from(input);
  const outer = new DerReader(der);
  const certificate = outer.enter(tag.sequence);
  outer.end();
  const tbs = certificate.enter(tag.sequence);
  certificate.next(tag.sequence);
  readBitString(certificate.next(tag.bitString));
  certificate.end();
  tbs.optional(contextTag(0, true));
  const serial = tbs.next(tag.integer).content;
  tbs.next(tag.sequence);
  const issuer = tbs.next(tag.sequence).bytes;
  const validity = tbs.enter(tag.sequence);
  const notBeforeMs = readTime(validity.next());
  const notAfterMs = readTime(validity.next());
  const subject = tbs.next(tag.sequence).bytes;
  const publicKeyInfo = tbs.next(tag.sequence).bytes;
  tbs.optional(contextTag(1, false));
  tbs.optional(contextTag(2, false));
  const wrapper = tbs.optional(contextTag(3, true));
  const extensions = wrapper === undefined ? new Map<string, Buffer>() : readExtensions(wrapper.content);
  tbs.end();
  const isCa = readIsCa(extensions.get(extensionId.basicConstraints));
  return {
    der,
    serialNumber: serial.toString("hex").replace(/^0+(?=.)/, ""),
    issuer,
    subject,
    publicKeyInfo,
    notBeforeMs,
    notAfterMs,
    isCa,
    maySign: isCa || readMaySign(extensions.get(extensionId.keyUsage)),
    subjectKeyId: readKeyId(extensions.get(extensionId.subjectKeyIdentifier)),
    subjectAltNames: readSubjectAltNames(extensions.get(extensionId.subjectAltName)),
  };
}

/** Reads `Extensions` into identifier → value; a repeated extension is refused. */
export function readExtensions(content: Buffer): Map<string, Buffer> {
  const outer = new DerReader(content);
  const list = outer.enter(tag.sequence);
  outer.end();
  const extensions = new Map<string, Buffer>();
  while (!list.done) {
    const extension = list.enter(tag.sequence);
    const id = readObjectIdentifier(extension.next(tag.oid).content);
    extension.optional(tag.boolean);
    const value = extension.next(tag.octetString).content;
    extension.end();
    if (extensions.has(id)) throw derError(`extension ${id} appears twice`);
    extensions.set(id, value);
  }
  return extensions;
}

export function readSubjectAltNames(value: Buffer | undefined): SubjectAltNames {
  const uris: string[] = [];
  const dnsNames: string[] = [];
  const ipAddresses: Buffer[] = [];
  const emails: string[] = [];
  const otherNames: OtherName[] = [];
  if (value !== undefined) {
    const outer = new DerReader(value);
    const names = outer.enter(tag.sequence);
    outer.end();
    while (!names.done) {
      const name = names.next();
      if (name.tag === contextTag(6, false)) uris.push(readAscii(name));
      else if (name.tag === contextTag(2, false)) dnsNames.push(readAscii(name));
      else if (name.tag === contextTag(7, false)) ipAddresses.push(name.content);
      else if (name.tag === contextTag(1, false)) emails.push(readAscii(name));
      else if (name.tag === contextTag(0, true)) otherNames.push(...readOtherName(name));
    }
  }
  return { uris, dnsNames, ipAddresses, emails, otherNames };
}

/** Nothing where the value is no string. */
function readOtherName(name: DerElement): OtherName[] {
  const parts = new DerReader(name.content);
  const oid = readObjectIdentifier(parts.next(tag.oid).content);
  const value = new DerReader(parts.next(contextTag(0, true)).content).next();
  parts.end();
  const isString = value.tag === tag.utf8String || value.tag === tag.ia5String || value.tag === tag.printableString;
  return isString ? [{ oid, value: value.content.toString("utf8") }] : [];
}

function readAscii(name: DerElement): string {
  if (name.content.some((byte) => byte < 0x20 || byte > 0x7e))
    throw derError("alternative name is not printable ASCII");
  return name.content.toString("latin1");
}

function readIsCa(value: Buffer | undefined): boolean {
  if (value === undefined) return false;
  const constraints = new DerReader(value).enter(tag.sequence);
  return constraints.optional(tag.boolean)?.content[0] === 0xff;
}

/** keyCertSign and cRLSign of KeyUsage (RFC 5280 4.2.1.3). */
const signingUses = 0x06;

function readMaySign(value: Buffer | undefined): boolean {
  if (value === undefined) return false;
  // Behind the count of unused bits; bit 0 is the highest.
  const [, uses = 0] = new DerReader(value).next(tag.bitString).content;
  return (uses & signingUses) !== 0;
}

function readKeyId(value: Buffer | undefined): Buffer | undefined {
  return value === undefined ? undefined : new DerReader(value).next(tag.octetString).content;
}
