// RequestAuthentication as decoded: whose tokens a workload believes.
import type { PolicyTarget } from "../../objects/fields/policy-target.ts";
import type { Milliseconds } from "../../objects/fields/units.ts";

export interface RequestAuthenticationSpec extends PolicyTarget {
  readonly jwtRules: readonly JwtRule[];
}

export interface JwtRule {
  readonly issuer: string;
  /** Empty takes tokens for everybody. */
  readonly audiences: readonly string[];
  /** Without this and `jwks` the issuer's OpenID configuration says where the keys are. */
  readonly jwksUri: string;
  /** The keys themselves, as JSON. */
  readonly jwks: string;
  /** Without any place: `Authorization: Bearer` and the query parameter `access_token`. */
  readonly fromHeaders: readonly { readonly name: string; readonly prefix: string }[];
  readonly fromParams: readonly string[];
  readonly fromCookies: readonly string[];
  /** Header that takes the payload, in base64url. */
  readonly outputPayloadToHeader: string;
  /** Leaves the token in the request. */
  readonly forwardOriginalToken: boolean;
  /** A claim within a claim is named with a dot. */
  readonly outputClaimToHeaders: readonly { readonly header: string; readonly claim: string }[];
  /** Of fetching keys. */
  readonly timeout: Milliseconds;
  /** Claims that are lists of words, besides `scope` and `permission`. */
  readonly spaceDelimitedClaims: readonly string[];
}
