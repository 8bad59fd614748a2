// PKCS#10 certificate requests (RFC 2986): made by the agent, read and verified by the CA.
import { createPublicKey, type KeyObject } from "node:crypto";
import {
  type Certificate,
  extensionId,
  readExtensions,
  readSubjectAltNames,
  type SubjectAltNames,
} from "./certificate.ts";
import {
  bitString,
  contextTag,
  DerReader,
  derError,
  element,
  objectIdentifier,
  octetString,
  readBitString,
  readObjectIdentifier,
  sequence,
  tag,
  unsignedInteger,
} from "./der.ts";
import { encodeName, encodeSubjectAltNames, type NameFields, type RequestedNames } from "./issue-certificate.ts";
import { decodeOnePem, encodePem } from "./pem.ts";
import { readPublicKey, signerFor, verifySignature } from "./signature.ts";

const extensionRequest = "1.2.840.113549.1.9.14";
/** Larger requests are refused before they are parsed. */
const maxRequestBytes = 32 * 1024;

export interface CertificateRequest {
  /** SubjectPublicKeyInfo, DER; the signature proved that the caller has its private key. */
  readonly publicKeyInfo: Certificate["publicKeyInfo"];
  readonly publicKey: KeyObject;
  readonly subject: Buffer;
  /** What the caller asks to be named. A CA names it by who it proved to be instead. */
  readonly subjectAltNames: SubjectAltNames;
}

/** Builds a signed request, PEM. */
export function buildCertificateRequest(
  privateKey: KeyObject,
  names: RequestedNames = {},
  subject: NameFields = {},
): string {
  const publicKeyInfo = createPublicKey(privateKey).export({ format: "der", type: "spki" });
  const signer = signerFor(privateKey);
  const altNames = encodeSubjectAltNames(names);
  const attributes =
    altNames.length === 2
      ? element(contextTag(0, true))
      : element(
          contextTag(0, true),
          sequence(
            objectIdentifier(extensionRequest),
            element(tag.set, sequence(sequence(objectIdentifier(extensionId.subjectAltName), octetString(altNames)))),
          ),
        );
  const info = sequence(unsignedInteger(Buffer.of(0)), encodeName(subject), publicKeyInfo, attributes);
  return encodePem("CERTIFICATE REQUEST", sequence(info, signer.algorithm, bitString(signer.sign(info))));
}

/** Reads a request, PEM or DER, and verifies its signature; throws X509_INVALID. */
export function parseCertificateRequest(input: string | Uint8Array): CertificateRequest {
  if (input.length > maxRequestBytes) throw derError(`the certificate request is larger than ${maxRequestBytes} bytes`);
  const der =
    typeof input === "string" ? decodeOnePem(["CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"], input) : input;
  const outer = new DerReader(der);
  const request = outer.enter(tag.sequence);
  outer.end();
  const info = request.next(tag.sequence);
  const algorithm = request.next(tag.sequence).bytes;
  const signature = readBitString(request.next(tag.bitString));
  request.end();

  const fields = new DerReader(info.content);
  if (!fields.next(tag.integer).content.equals(Buffer.of(0))) throw derError("the request's version is not 1");
  const subject = fields.next(tag.sequence).bytes;
  const publicKeyInfo = fields.next(tag.sequence).bytes;
  const attributes = fields.optional(contextTag(0, true));
  fields.end();

  const publicKey = readPublicKey(publicKeyInfo);
  if (!verifySignature(publicKey, algorithm, info.bytes, signature)) {
    throw derError("the request's signature does not match its public key");
  }
  const altNames = attributes === undefined ? undefined : requestedAltNames(attributes.content);
  return { publicKeyInfo, publicKey, subject, subjectAltNames: readSubjectAltNames(altNames) };
}

function requestedAltNames(content: Buffer): Buffer | undefined {
  const attributes = new DerReader(content);
  let found: Buffer | undefined;
  while (!attributes.done) {
    const attribute = attributes.enter(tag.sequence);
    const id = readObjectIdentifier(attribute.next(tag.oid).content);
    const values = attribute.next(tag.set).content;
    attribute.end();
    if (id === extensionRequest) found = readExtensions(values).get(extensionId.subjectAltName);
  }
  return found;
}
