// Reading X.509 certificate revocation lists (RFC 5280 section 5): whose they are, when they end, and which serial numbers
// they name. Indirect lists and those of deltas are not told apart; OpenSSL is who applies them.
import { contextTag, DerReader, derError, readBitString, readTime, tag } from "./der.ts";
import { decodePem, encodePem } from "./pem.ts";
import { readPublicKey, verifySignature } from "./signature.ts";

export interface RevocationList {
  readonly pem: string;
  /** The name of who signed it, DER. */
  readonly issuer: Buffer;
  readonly thisUpdateMs: number;
  /** Undefined where the list says none: it is good for ever. */
  readonly nextUpdateMs: number | undefined;
  /** Lower-case hexadecimal, without leading zeros. */
  readonly serialNumbers: ReadonlySet<string>;
  /** Whether the list was signed by the key of this SubjectPublicKeyInfo. */
  isSignedBy(publicKeyInfo: Buffer): boolean;
}

const label = "X509 CRL";

/** Every list of a PEM bundle, in order; throws X509_INVALID, also for a bundle with text and no list. */
export function parseRevocationLists(text: string): RevocationList[] {
  const lists = decodePem(label, text).map(parseRevocationList);
  if (lists.length === 0 && text.trim() !== "") throw derError(`no PEM block ${label}`);
  return lists;
}

function parseRevocationList(der: Buffer): RevocationList {
  const outer = new DerReader(der);
  const list = outer.enter(tag.sequence);
  outer.end();
  const signed = list.next(tag.sequence);
  const algorithm = list.next(tag.sequence).bytes;
  const signature = readBitString(list.next(tag.bitString));
  list.end();
  const tbs = new DerReader(signed.content);
  tbs.optional(tag.integer);
  tbs.next(tag.sequence);
  const issuer = tbs.next(tag.sequence).bytes;
  const thisUpdateMs = readTime(tbs.next());
  const hasNext = tbs.peekTag() === tag.utcTime || tbs.peekTag() === tag.generalizedTime;
  const nextUpdateMs = hasNext ? readTime(tbs.next()) : undefined;
  const serialNumbers = new Set<string>();
  const entries = tbs.optional(tag.sequence);
  if (entries !== undefined) readEntries(entries.content, serialNumbers);
  tbs.optional(contextTag(0, true));
  tbs.end();
  return {
    pem: encodePem(label, der),
    issuer,
    thisUpdateMs,
    nextUpdateMs,
    serialNumbers,
    isSignedBy: (publicKeyInfo) => verifySignature(readPublicKey(publicKeyInfo), algorithm, signed.bytes, signature),
  };
}

function readEntries(content: Buffer, serialNumbers: Set<string>): void {
  const entries = new DerReader(content);
  while (!entries.done) {
    const serial = entries.enter(tag.sequence).next(tag.integer).content;
    serialNumbers.add(serial.toString("hex").replace(/^0+(?=.)/, ""));
  }
}
