// JSON web key sets (RFC 7517) for verifying. A key that can't be used is left out, with the reason: too short, of a kind
// that is not known, or not for signatures. Which algorithms a key serves follows from its own type and never from the
// token, so that a public key can't be taken for a shared secret.
import { createPublicKey, createSecretKey, type KeyObject } from "node:crypto";
import { type Algorithm, algorithms, fromBase64Url, type Jws } from "./jws.ts";
import { matchesSignature } from "./signature.ts";
import {
  type JwtStatus,
  jwksBadJson,
  jwksBadKeys,
  jwksNoKeys,
  jwksNoMatch,
  jwksNoValidKeys,
  jwtOk,
  jwtVerificationFails,
} from "./status.ts";
import { parseStrictObject } from "./strict-json.ts";

interface VerificationKey {
  readonly kid: string | undefined;
  readonly algorithms: readonly Algorithm[];
  readonly key: KeyObject;
}

export interface KeySet {
  readonly keys: readonly VerificationKey[];
  /** Keys that are not used, in words. */
  readonly leftOut: readonly string[];
}

const maxKeys = 1024;

/** A status says why there is not one key to verify with. */
export function parseKeySet(text: string): KeySet | JwtStatus {
  const json = parseStrictObject(Buffer.from(text, "utf8"));
  if (json === null) return jwksBadJson;
  const { keys: list } = json;
  if (list === undefined) return jwksNoKeys;
  if (!Array.isArray(list)) return jwksBadKeys;
  const keys: VerificationKey[] = [];
  const leftOut: string[] = [];
  for (const [i, item] of list.slice(0, maxKeys).entries()) {
    const key = parseKey(item);
    if (typeof key === "string") leftOut.push(`key ${i + 1}: ${key}`);
    else keys.push(key);
  }
  if (list.length > maxKeys) leftOut.push(`${list.length - maxKeys} keys behind the first ${maxKeys}`);
  return keys.length === 0 ? jwksNoValidKeys : { keys, leftOut };
}

export function isKeySet(value: KeySet | JwtStatus): value is KeySet {
  return "keys" in value;
}

/** Whether one of the keys made the signature. */
export function verifyJws(jws: Jws, { keys }: KeySet): JwtStatus {
  let hasKey = false;
  for (const { kid, algorithms: served, key } of keys) {
    // A token or key without a name fits any.
    if (jws.kid !== undefined && kid !== undefined && kid !== jws.kid) continue;
    if (!served.includes(jws.algorithm)) continue;
    hasKey = true;
    if (matchesSignature(jws.algorithm, key, jws.signed, jws.signature)) return jwtOk;
  }
  return hasKey ? jwtVerificationFails : jwksNoMatch;
}

/** The key, or why it is not used. */
function parseKey(item: unknown): VerificationKey | string {
  if (typeof item !== "object" || item === null || Array.isArray(item)) return "is no object";
  const jwk = item as Readonly<Record<string, unknown>>;
  const { kid, alg, use, key_ops: operations } = jwk;
  if (kid !== undefined && typeof kid !== "string") return "kid is no string";
  if (use !== undefined && use !== "sig") return `is for ${String(use)}`;
  if (Array.isArray(operations) && !operations.includes("verify")) return "is not for verifying";
  const parsed = parseMaterial(jwk);
  if (typeof parsed === "string") return parsed;
  if (alg === undefined) return { kid, algorithms: parsed.algorithms, key: parsed.key };
  const only = algorithms.find((it) => it === alg);
  if (only === undefined || !parsed.algorithms.includes(only)) return `alg ${String(alg)} does not go with it`;
  return { kid, algorithms: [only], key: parsed.key };
}

interface Material {
  readonly algorithms: readonly Algorithm[];
  readonly key: KeyObject;
}

function parseMaterial(jwk: Readonly<Record<string, unknown>>): Material | string {
  switch (jwk["kty"]) {
    case "RSA":
      return parseRsa(jwk["n"], jwk["e"]);
    case "EC":
      return parseCurve(jwk["crv"], jwk["x"], jwk["y"]);
    case "OKP":
      if (jwk["crv"] !== "Ed25519") return `curve ${String(jwk["crv"])} is not supported`;
      return publicKey({ kty: "OKP", crv: "Ed25519", x: jwk["x"] }, ["EdDSA"]);
    case "oct":
      return parseSecret(jwk["k"]);
    default:
      return `kty ${String(jwk["kty"])} is not supported`;
  }
}

/** RFC 7518 3.3. */
const minRsaBits = 2048;
/** Larger keys cost more than a request may. */
const maxRsaBits = 8192;

function parseRsa(n: unknown, e: unknown): Material | string {
  const material = publicKey({ kty: "RSA", n, e }, ["PS256", "PS384", "PS512", "RS256", "RS384", "RS512"]);
  if (typeof material === "string") return material;
  const { modulusLength = 0, publicExponent = 0n } = material.key.asymmetricKeyDetails ?? {};
  if (modulusLength < minRsaBits) return `an RSA key of ${modulusLength} bits is too short`;
  if (modulusLength > maxRsaBits || publicExponent > 0xffff_ffffn) return "the RSA key is too large";
  return material;
}

const curves: Readonly<Record<string, Algorithm>> = { "P-256": "ES256", "P-384": "ES384", "P-521": "ES512" };

function parseCurve(crv: unknown, x: unknown, y: unknown): Material | string {
  const algorithm = typeof crv === "string" && Object.hasOwn(curves, crv) ? curves[crv] : undefined;
  if (algorithm === undefined) return `curve ${String(crv)} is not supported`;
  return publicKey({ kty: "EC", crv, x, y }, [algorithm]);
}

function parseSecret(k: unknown): Material | string {
  const bytes = typeof k === "string" ? fromBase64Url(k) : null;
  if (bytes === null) return "k is no base64url";
  // RFC 7518 3.2: as long as the hash at least.
  const served = (["HS256", "HS384", "HS512"] as const).filter((it) => bytes.length * 8 >= Number(it.slice(2)));
  if (served.length === 0) return `a secret of ${bytes.length} bytes is too short`;
  return { algorithms: served, key: createSecretKey(bytes) };
}

function publicKey(key: Readonly<Record<string, unknown>>, served: readonly Algorithm[]): Material | string {
  for (const value of Object.values(key)) if (typeof value !== "string") return "a part of the key is missing";
  try {
    return { algorithms: served, key: createPublicKey({ key: key as Record<string, string>, format: "jwk" }) };
  } catch {
    return "the key is not valid";
  }
}
