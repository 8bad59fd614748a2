// A revocation list (X.509 v2, RFC 5280) as an operator's CA writes one.
import type { KeyObject } from "node:crypto";
import { parseCertificate } from "../certificate.ts";
import {
  bitString,
  contextTag,
  element,
  objectIdentifier,
  octetString,
  sequence,
  time,
  unsignedInteger,
} from "../der.ts";
import { encodePem } from "../pem.ts";
import { signerFor } from "../signature.ts";

export interface RevocationRequest {
  /** Hexadecimal. */
  readonly serialNumbers?: readonly string[];
  readonly thisUpdateMs: number;
  readonly nextUpdateMs: number;
}

/** `caPem`: the certificate of the CA whose key signs. */
export function revocationListOf(caPem: string, privateKey: KeyObject, request: RevocationRequest): string {
  const { serialNumbers = [], thisUpdateMs, nextUpdateMs } = request;
  const { subject } = parseCertificate(caPem);
  const signer = signerFor(privateKey);
  const entries = serialNumbers.map((serial) => {
    const digits = serial.length % 2 === 0 ? serial : `0${serial}`;
    return sequence(unsignedInteger(Buffer.from(digits, "hex")), time(thisUpdateMs));
  });
  const number = sequence(objectIdentifier("2.5.29.20"), octetString(unsignedInteger(Buffer.of(1))));
  const tbs = sequence(
    unsignedInteger(Buffer.of(1)),
    signer.algorithm,
    subject,
    time(thisUpdateMs),
    time(nextUpdateMs),
    ...(entries.length > 0 ? [sequence(...entries)] : []),
    element(contextTag(0, true), sequence(number)),
  );
  return encodePem("X509 CRL", sequence(tbs, signer.algorithm, bitString(signer.sign(tbs))));
}
