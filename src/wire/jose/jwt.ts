// JSON web tokens (RFC 7519): the claims of a JWS whose payload is a JSON object, with the registered ones checked for
// type. Whether they are acceptable is not decided here.
import { type Jws, parseJws } from "./jws.ts";
import {
  type JwtStatus,
  jwtAudNotString,
  jwtExpNotInteger,
  jwtExpOutOfRange,
  jwtIatNotInteger,
  jwtIatOutOfRange,
  jwtIssNotString,
  jwtJtiNotString,
  jwtNbfNotInteger,
  jwtNbfOutOfRange,
  jwtPayloadBadJson,
  jwtSubNotString,
} from "./status.ts";
import { type JsonObject, parseStrictObject } from "./strict-json.ts";

export interface Jwt {
  readonly jws: Jws;
  readonly claims: JsonObject;
  readonly issuer: string | undefined;
  readonly subject: string | undefined;
  readonly audiences: readonly string[];
  /** Seconds since 1970. */
  readonly issuedAt: number | undefined;
  readonly notBefore: number | undefined;
  readonly expiresAt: number | undefined;
}

export function parseJwt(token: string): Jwt | JwtStatus {
  const jws = parseJws(token);
  if (!("signed" in jws)) return jws;
  const claims = parseStrictObject(jws.payload);
  return claims === null ? jwtPayloadBadJson : withClaims(jws, claims);
}

/** A token with these claims that nobody signed, to ask what would be decided about one. */
export function jwtWithClaims(claims: JsonObject): Jwt | JwtStatus {
  const payload = Buffer.from(JSON.stringify(claims));
  const nothing = Buffer.alloc(0);
  const payloadText = payload.toString("base64url");
  const jws: Jws = {
    algorithm: "RS256",
    kid: undefined,
    header: {},
    payload,
    payloadText,
    signature: nothing,
    signed: "",
  };
  return withClaims(jws, claims);
}

function withClaims(jws: Jws, claims: JsonObject): Jwt | JwtStatus {
  const { iss, sub, jti, aud, iat, nbf, exp } = claims;
  if (iss !== undefined && typeof iss !== "string") return jwtIssNotString;
  if (sub !== undefined && typeof sub !== "string") return jwtSubNotString;
  if (jti !== undefined && typeof jti !== "string") return jwtJtiNotString;
  if (!isTime(iat)) return typeof iat === "number" ? jwtIatOutOfRange : jwtIatNotInteger;
  if (!isTime(nbf)) return typeof nbf === "number" ? jwtNbfOutOfRange : jwtNbfNotInteger;
  if (!isTime(exp)) return typeof exp === "number" ? jwtExpOutOfRange : jwtExpNotInteger;
  const audiences = typeof aud === "string" ? [aud] : aud === undefined ? [] : aud;
  if (!isStringList(audiences)) return jwtAudNotString;
  return { jws, claims, issuer: iss, subject: sub, audiences, issuedAt: iat, notBefore: nbf, expiresAt: exp };
}

export function isJwt(value: Jwt | JwtStatus): value is Jwt {
  return "claims" in value;
}

function isTime(value: unknown): value is number | undefined {
  return value === undefined || (typeof value === "number" && value >= 0 && value < 2 ** 63);
}

function isStringList(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === "string");
}
