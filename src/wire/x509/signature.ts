// Signature algorithms of X.509 (RFC 5280, 5758, 8410): which key signs how, and checking a signature.
// SHA-1, MD5 and RSA keys below 2048 bits are refused; RSASSA-PSS is not offered.
import { createPublicKey, type KeyObject, sign, verify } from "node:crypto";
import { DerReader, derError, derNull, objectIdentifier, readObjectIdentifier, sequence, tag } from "./der.ts";

interface Algorithm {
  readonly hash: string | null;
  readonly keyType: string;
}

const algorithms: Readonly<Record<string, Algorithm>> = {
  "1.2.840.10045.4.3.2": { hash: "sha256", keyType: "ec" },
  "1.2.840.10045.4.3.3": { hash: "sha384", keyType: "ec" },
  "1.2.840.10045.4.3.4": { hash: "sha512", keyType: "ec" },
  "1.2.840.113549.1.1.11": { hash: "sha256", keyType: "rsa" },
  "1.2.840.113549.1.1.12": { hash: "sha384", keyType: "rsa" },
  "1.2.840.113549.1.1.13": { hash: "sha512", keyType: "rsa" },
  "1.3.101.112": { hash: null, keyType: "ed25519" },
};

const identifierByKeyType: Readonly<Record<string, { readonly hash: string | null; readonly der: Buffer }>> = {
  ec: { hash: "sha256", der: sequence(objectIdentifier("1.2.840.10045.4.3.2")) },
  rsa: { hash: "sha256", der: sequence(objectIdentifier("1.2.840.113549.1.1.11"), derNull) },
  ed25519: { hash: null, der: sequence(objectIdentifier("1.3.101.112")) },
};

export interface Signer {
  /** The AlgorithmIdentifier, as DER. */
  readonly algorithm: Buffer;
  sign(data: Uint8Array): Buffer;
}

/** How this private key signs; throws X509_INVALID for a kind of key that is not supported. */
export function signerFor(privateKey: KeyObject): Signer {
  const entry = identifierByKeyType[privateKey.asymmetricKeyType ?? ""];
  if (entry === undefined) throw derError(`keys of type ${privateKey.asymmetricKeyType ?? "unknown"} cannot sign`);
  return { algorithm: entry.der, sign: (data) => sign(entry.hash, data, privateKey) };
}

/** Reads a SubjectPublicKeyInfo; throws X509_INVALID for weak or unknown keys. */
export function readPublicKey(spki: Buffer): KeyObject {
  let key: KeyObject;
  try {
    key = createPublicKey({ key: spki, format: "der", type: "spki" });
  } catch (cause) {
    throw derErrorWithCause("the public key cannot be read", cause);
  }
  const details = key.asymmetricKeyDetails;
  switch (key.asymmetricKeyType) {
    case "ec":
      if (["prime256v1", "secp384r1", "secp521r1"].includes(details?.namedCurve ?? "")) return key;
      throw derError(`elliptic curve ${details?.namedCurve ?? "unknown"} is not supported`);
    case "rsa": {
      const bits = details?.modulusLength ?? 0;
      if (bits >= 2048 && bits <= 8192) return key;
      throw derError(`RSA key of ${bits} bits; 2048 to 8192 are accepted`);
    }
    case "ed25519":
      return key;
    default:
      throw derError(`keys of type ${key.asymmetricKeyType ?? "unknown"} are not supported`);
  }
}

/** Tells whether the signature over the data is the key's; an algorithm that does not fit the key counts as wrong. */
export function verifySignature(key: KeyObject, algorithm: Buffer, data: Uint8Array, signature: Uint8Array): boolean {
  const entry = algorithms[readObjectIdentifier(new DerReader(algorithm).enter(tag.sequence).next(tag.oid).content)];
  if (entry === undefined || entry.keyType !== key.asymmetricKeyType) return false;
  try {
    return verify(entry.hash, data, key, signature);
  } catch {
    // A malformed signature value makes OpenSSL throw; for the caller that is the same as a wrong one.
    return false;
  }
}

function derErrorWithCause(message: string, cause: unknown): Error {
  return Object.assign(derError(message), { cause });
}
