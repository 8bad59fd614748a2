// What can be wrong with a token or a key set, in the words of Envoy, which clients and logs know.

export interface JwtStatus {
  readonly code: number;
  readonly text: string;
}

const status = (code: number, text: string): JwtStatus => ({ code, text });

export const jwtOk: JwtStatus = status(0, "OK");
export const jwtMissed: JwtStatus = status(1, "Jwt is missing");
export const jwtNotYetValid: JwtStatus = status(2, "Jwt not yet valid");
export const jwtExpired: JwtStatus = status(3, "Jwt is expired");
export const jwtBadFormat: JwtStatus = status(
  4,
  "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections",
);
export const jwtHeaderBadBase64: JwtStatus = status(5, "Jwt header is an invalid Base64url encoded");
export const jwtHeaderBadJson: JwtStatus = status(6, "Jwt header is an invalid JSON");
export const jwtHeaderBadAlg: JwtStatus = status(7, "Jwt header [alg] field is required and must be a string");
export const jwtHeaderUnknownAlg: JwtStatus = status(8, "Jwt header [alg] is not supported");
export const jwtHeaderBadKid: JwtStatus = status(9, "Jwt header [kid] field is not a string");
export const jwtPayloadBadBase64: JwtStatus = status(10, "Jwt payload is an invalid Base64url encoded");
export const jwtPayloadBadJson: JwtStatus = status(11, "Jwt payload is an invalid JSON");
export const jwtIssNotString: JwtStatus = status(12, "Jwt payload [iss] field is not a string");
export const jwtSubNotString: JwtStatus = status(13, "Jwt payload [sub] field is not a string");
export const jwtIatNotInteger: JwtStatus = status(14, "Jwt payload [iat] field is not an integer");
export const jwtIatOutOfRange: JwtStatus = status(15, "Jwt payload [iat] field is not a positive 64 bit integer");
export const jwtNbfNotInteger: JwtStatus = status(16, "Jwt payload [nbf] field is not an integer");
export const jwtNbfOutOfRange: JwtStatus = status(17, "Jwt payload [nbf] field is not a positive 64 bit integer");
export const jwtExpNotInteger: JwtStatus = status(18, "Jwt payload [exp] field is not an integer");
export const jwtExpOutOfRange: JwtStatus = status(19, "Jwt payload [exp] field is not a positive 64 bit integer");
export const jwtJtiNotString: JwtStatus = status(20, "Jwt payload [jti] field is not a string");
export const jwtAudNotString: JwtStatus = status(21, "Jwt payload [aud] field is not a string or string list");
export const jwtSignatureBadBase64: JwtStatus = status(22, "Jwt signature is an invalid Base64url encoded");
export const jwtUnknownIssuer: JwtStatus = status(23, "Jwt issuer is not configured");
export const jwtAudienceNotAllowed: JwtStatus = status(24, "Audiences in Jwt are not allowed");
export const jwtVerificationFails: JwtStatus = status(25, "Jwt verification fails");
export const jwksBadJson: JwtStatus = status(26, "Jwks is an invalid JSON");
export const jwksNoKeys: JwtStatus = status(27, "Jwks does not have [keys] field");
export const jwksBadKeys: JwtStatus = status(28, "[keys] in Jwks is not an array");
export const jwksNoValidKeys: JwtStatus = status(29, "Jwks doesn't have any valid public key");
export const jwksNoMatch: JwtStatus = status(30, "Jwks doesn't have key to match kid or alg from Jwt");
export const jwksFetchFails: JwtStatus = status(31, "Jwks remote fetch is failed");
/** RFC 7515 4.1.11: what must be understood and is not. Envoy has no word for it. */
export const jwtHeaderCritical: JwtStatus = status(32, "Jwt header [crit] is not supported");
