// Compact JWS (RFC 7515): read strictly, so that a token has one spelling. Only `alg` and `kid` of the header count; keys
// and addresses of keys in it (`jwk`, `jku`, `x5c`, `x5u`) are the word of whoever made the token and never looked at.
import {
  type JwtStatus,
  jwtBadFormat,
  jwtHeaderBadAlg,
  jwtHeaderBadBase64,
  jwtHeaderBadJson,
  jwtHeaderBadKid,
  jwtHeaderCritical,
  jwtHeaderUnknownAlg,
  jwtPayloadBadBase64,
  jwtSignatureBadBase64,
} from "./status.ts";
import { type JsonObject, parseStrictObject } from "./strict-json.ts";

export const algorithms = [
  "ES256",
  "ES384",
  "ES512",
  "EdDSA",
  "HS256",
  "HS384",
  "HS512",
  "PS256",
  "PS384",
  "PS512",
  "RS256",
  "RS384",
  "RS512",
] as const;

export type Algorithm = (typeof algorithms)[number];

export interface Jws {
  readonly algorithm: Algorithm;
  /** Undefined when the token names no key. */
  readonly kid: string | undefined;
  readonly header: JsonObject;
  readonly payload: Buffer;
  /** As it stands in the token. */
  readonly payloadText: string;
  readonly signature: Buffer;
  /** What was signed. */
  readonly signed: string;
}

/** Longer tokens are not looked at. */
export const maxTokenLength = 65_536;

export function parseJws(token: string): Jws | JwtStatus {
  if (token.length > maxTokenLength) return jwtBadFormat;
  const first = token.indexOf(".");
  const second = token.indexOf(".", first + 1);
  if (first <= 0 || second <= first + 1 || second === token.length - 1) return jwtBadFormat;
  if (token.includes(".", second + 1)) return jwtBadFormat;
  const headerBytes = fromBase64Url(token.slice(0, first));
  if (headerBytes === null) return jwtHeaderBadBase64;
  const header = parseStrictObject(headerBytes);
  if (header === null) return jwtHeaderBadJson;
  const { alg, kid } = header;
  if (typeof alg !== "string") return jwtHeaderBadAlg;
  const algorithm = algorithms.find((it) => it === alg);
  if (algorithm === undefined) return jwtHeaderUnknownAlg;
  if (kid !== undefined && typeof kid !== "string") return jwtHeaderBadKid;
  if (header["crit"] !== undefined) return jwtHeaderCritical;
  const payloadText = token.slice(first + 1, second);
  const payload = fromBase64Url(payloadText);
  if (payload === null) return jwtPayloadBadBase64;
  const signature = fromBase64Url(token.slice(second + 1));
  if (signature === null) return jwtSignatureBadBase64;
  return { algorithm, kid, header, payload, payloadText, signature, signed: token.slice(0, second) };
}

/** Without padding, without characters of other alphabets, without bits that count for nothing (RFC 4648 3.5). */
export function fromBase64Url(text: string): Buffer | null {
  const bytes = Buffer.from(text, "base64url");
  return bytes.toString("base64url") === text ? bytes : null;
}
