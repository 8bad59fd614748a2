// Signatures of JWS (RFC 7518 3, RFC 8037) by node:crypto, synchronously: tens of microseconds, once per token.
import { constants, createHmac, type KeyObject, timingSafeEqual, verify } from "node:crypto";
import type { Algorithm } from "./jws.ts";

export function matchesSignature(algorithm: Algorithm, key: KeyObject, signed: string, signature: Buffer): boolean {
  const hash = `sha${algorithm.slice(2)}`;
  const bytes = Buffer.from(signed, "latin1");
  try {
    switch (algorithm.slice(0, 2)) {
      case "RS":
        return verify(hash, bytes, { key, padding: constants.RSA_PKCS1_PADDING }, signature);
      case "PS":
        // RFC 7518 3.5: the salt is as long as the hash.
        return verify(
          hash,
          bytes,
          { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST },
          signature,
        );
      case "ES":
        if (signature.length !== signatureBytes[algorithm]) return false;
        return verify(hash, bytes, { key, dsaEncoding: "ieee-p1363" }, signature);
      case "HS": {
        const expected = createHmac(hash, key).update(bytes).digest();
        return expected.length === signature.length && timingSafeEqual(expected, signature);
      }
      default:
        return signature.length === 64 && verify(null, bytes, key, signature);
    }
  } catch {
    return false; // OpenSSL throws for some malformed signatures in place of saying no
  }
}

/** r and s, each as long as the curve's order. */
const signatureBytes: Readonly<Partial<Record<Algorithm, number>>> = { ES256: 64, ES384: 96, ES512: 132 };
