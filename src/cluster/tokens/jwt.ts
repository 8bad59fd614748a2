// Compact ES256 JWTs (RFC 7515, RFC 7518 section 3.4), synchronous: only what the cluster's own tokens need.

import { type KeyObject, sign, verify } from "node:crypto";
import { isRecord, type JsonRecord } from "../store/json.ts";

export interface SigningKey {
  readonly id: string;
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
}

/** Longer tokens are not looked at. */
const maxTokenLength = 8192;

export function signJwt(claims: JsonRecord, key: SigningKey): string {
  const head = `${encode({ alg: "ES256", kid: key.id, typ: "JWT" })}.${encode(claims)}`;
  const signature = sign("sha256", Buffer.from(head), { key: key.privateKey, dsaEncoding: "ieee-p1363" });
  return `${head}.${signature.toString("base64url")}`;
}

/** The claims when the signature is the key's, else undefined. Says nothing about time or audience. */
export function verifyJwt(token: string, key: SigningKey): JsonRecord | undefined {
  if (token.length > maxTokenLength) return undefined;
  const [head, body, signature, ...rest] = token.split(".");
  if (head === undefined || body === undefined || signature === undefined || rest.length > 0) return undefined;
  const header = decode(head);
  if (header?.["alg"] !== "ES256" || header["kid"] !== key.id) return undefined;
  const isValid = verify(
    "sha256",
    Buffer.from(`${head}.${body}`),
    { key: key.publicKey, dsaEncoding: "ieee-p1363" },
    Buffer.from(signature, "base64url"),
  );
  return isValid ? decode(body) : undefined;
}

function encode(value: JsonRecord): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}

function decode(part: string): JsonRecord | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, "base64url").toString("utf8"));
    return isRecord(value) ? value : undefined;
  } catch {
    return undefined; // not JSON: not a token
  }
}
