// A certificate chain and its key, from PEM to what the secret store keeps.
import { createPrivateKey, X509Certificate } from "node:crypto";
import type { TlsCertificate } from "./secrets.ts";

/** A string says what is wrong, without a byte of the key. */
export function readTlsCertificate(certificateChain: string, privateKey: string): TlsCertificate | string {
  let leaf: X509Certificate;
  try {
    leaf = new X509Certificate(certificateChain);
  } catch {
    return "has no readable certificate";
  }
  try {
    if (!leaf.checkPrivateKey(createPrivateKey(privateKey))) return "has a key that is not that of its certificate";
  } catch {
    return "has no readable private key";
  }
  return {
    certificateChain,
    privateKey,
    notBeforeMs: leaf.validFromDate.getTime(),
    notAfterMs: leaf.validToDate.getTime(),
    serialNumber: leaf.serialNumber.toLowerCase(),
    spiffeId: /(?:^|, )URI:(spiffe:\/\/[^,]+)/.exec(leaf.subjectAltName ?? "")?.[1],
  };
}
