// envoy.extensions.filters.http.jwt_authn.v3 as settings: who issues tokens, where they stand in a request, and which
// requests need which of them.
import { readFileSync } from "node:fs";
import type { Origin } from "#base/issue.ts";
import type { RetryPolicy } from "#wire/gen/envoy/config/core/v3/base_pb.ts";
import type {
  JwtAuthentication,
  JwtProvider as JwtProviderMessage,
  PerRouteConfig,
  RemoteJwks,
} from "#wire/gen/envoy/extensions/filters/http/jwt_authn/v3/config_pb.ts";
import { type KeySet, parseKeySet } from "#wire/jose/key-set.ts";
import type { JwtStatus } from "#wire/jose/status.ts";
import type { RouteMatch } from "../../../config/http.ts";
import type { StringMatcher } from "../../../config/matcher.ts";
import { decodeStringMatcher } from "../../../config/parse/matcher.ts";
import { decodeMatch } from "../../../config/parse/route-match.ts";
import { inlineText, milliseconds, refuseUnknown } from "../../../config/parse/values.ts";
import type { Problems } from "../../../config/problems.ts";
import type { FilterPlace } from "../../filter.ts";
import { decodeRequirement, noRequirement, plainAudience, type Requirement } from "./requirement.ts";
import { decodePlaces, type TokenPlace } from "./token-places.ts";

/** How to get keys from somebody: through a cluster, and nowhere else. */
export interface RemoteKeysConfig {
  /** As configured, for people. */
  readonly url: string;
  readonly scheme: string;
  readonly authority: string;
  readonly path: string;
  readonly cluster: string;
  readonly timeoutMs: number;
  readonly cacheMs: number;
  /** Fetch before the first request asks. */
  readonly isEager: boolean;
  /** Failed fetches are not repeated sooner. */
  readonly failedRefetchMs: number;
  readonly retries: number;
  readonly backOffBaseMs: number;
  readonly backOffMaxMs: number;
}

export interface JwtProvider {
  readonly name: string;
  /** Empty: any. */
  readonly issuer: string;
  readonly audiences: readonly string[];
  readonly subjects: StringMatcher | null;
  readonly requiresExpiration: boolean;
  /** 0: no limit. */
  readonly maxLifetimeSeconds: number;
  readonly clockSkewSeconds: number;
  /** A status: the keys that the configuration holds are none. */
  readonly keys: KeySet | JwtStatus | RemoteKeysConfig;
  readonly places: readonly TokenPlace[];
  /** Leaves the token in the request. */
  readonly forwards: boolean;
  /** Lower case; empty for none. */
  readonly payloadHeader: string;
  readonly padsPayloadHeader: boolean;
  readonly claimHeaders: readonly { readonly header: string; readonly claim: readonly string[] }[];
  /** Keys in dynamic metadata; empty for none. */
  readonly payloadKey: string;
  readonly headerKey: string;
  readonly failureKey: string;
  readonly spaceDelimitedClaims: readonly string[];
  readonly clearsRouteCache: boolean;
  /** Verified tokens that are remembered. */
  readonly cacheSize: number;
  readonly maxCachedLength: number;
}

export interface JwtRule {
  readonly match: RouteMatch;
  readonly requirement: Requirement;
}

export interface JwtSettings {
  /** Where the rule of a provider was written, by the provider's name. */
  readonly origins: ReadonlyMap<string, Origin>;
  readonly providers: ReadonlyMap<string, JwtProvider>;
  readonly rules: readonly JwtRule[];
  readonly byName: ReadonlyMap<string, Requirement>;
  readonly bypassesCorsPreflight: boolean;
  readonly hidesFailure: boolean;
  readonly statPrefix: string;
}

/** Of a route: switched off, or the name of what it needs. */
export type JwtRouteSettings = { readonly disabled: true } | { readonly disabled: false; readonly name: string };

export function parseJwtAuthn(message: JwtAuthentication, { path, policyOrigins, problems }: FilterPlace): JwtSettings {
  refuseUnknown(message, path, problems);
  const providers = new Map<string, JwtProvider>();
  for (const [name, provider] of Object.entries(message.providers)) {
    providers.set(name, decodeProvider(name, provider, `${path}.providers["${name}"]`, problems));
  }
  const requirement = (it: Parameters<typeof decodeRequirement>[0], at: string): Requirement =>
    decodeRequirement(it, providers, at, problems);
  const byName = new Map<string, Requirement>();
  for (const [name, it] of Object.entries(message.requirementMap)) {
    byName.set(name, requirement(it, `${path}.requirement_map["${name}"]`));
  }
  const rules = message.rules.map(({ match, requirementType: type }, i): JwtRule => {
    const where = `${path}.rules[${i}]`;
    const decoded = decodeMatch(match, `${where}.match`, problems);
    if (type.case === "requires") return { match: decoded, requirement: requirement(type.value, `${where}.requires`) };
    if (type.case === undefined) return { match: decoded, requirement: noRequirement };
    const named = byName.get(type.value);
    if (named === undefined) problems.invalid(`${where}.requirement_name`, `"${type.value}" is not in requirement_map`);
    return { match: decoded, requirement: named ?? noRequirement };
  });
  if (message.filterStateRules !== undefined) {
    problems.unsupported(`${path}.filter_state_rules`, "choosing requirements by filter state");
  }
  const { bypassCorsPreflight, stripFailureResponse, statPrefix } = message;
  return {
    origins: policyOrigins,
    providers,
    rules,
    byName,
    bypassesCorsPreflight: bypassCorsPreflight,
    hidesFailure: stripFailureResponse,
    statPrefix,
  };
}

/** Where the rule of the provider was written, as far as that is known; without a provider, where all rules were. */
export function originsOf({ origins }: JwtSettings, provider: JwtProvider | null): readonly Origin[] {
  if (provider === null) return [...origins.values()];
  const origin = origins.get(provider.name);
  return origin === undefined ? [] : [origin];
}

export function parseJwtPerRoute(message: PerRouteConfig, { path, problems }: FilterPlace): JwtRouteSettings {
  const { requirementSpecifier: specifier } = message;
  if (specifier.case === "requirementName") return { disabled: false, name: specifier.value };
  if (specifier.case === undefined || !specifier.value)
    problems.invalid(path, "says neither disabled nor a requirement");
  return { disabled: true };
}

const defaultSkewSeconds = 60;
const defaultCacheSize = 100;
const defaultMaxCachedLength = 4096;

function decodeProvider(name: string, message: JwtProviderMessage, path: string, problems: Problems): JwtProvider {
  refuseUnknown(message, path, problems);
  const maxLifetimeMs = milliseconds(message.maxLifetime, 0);
  return {
    name,
    issuer: message.issuer,
    audiences: message.audiences.map(plainAudience),
    subjects:
      message.subjects === undefined ? null : decodeStringMatcher(message.subjects, `${path}.subjects`, problems),
    requiresExpiration: message.requireExpiration || maxLifetimeMs > 0,
    maxLifetimeSeconds: maxLifetimeMs / 1000,
    clockSkewSeconds: message.clockSkewSeconds || defaultSkewSeconds,
    keys: decodeKeys(message, path, problems),
    places: decodePlaces(message, path, problems),
    forwards: message.forward,
    payloadHeader: message.forwardPayloadHeader.toLowerCase(),
    padsPayloadHeader: message.padForwardPayloadHeader,
    claimHeaders: message.claimToHeaders.map(({ headerName, claimName }, i) => {
      if (headerName === "") problems.invalid(`${path}.claim_to_headers[${i}].header_name`, "is missing");
      if (claimName === "") problems.invalid(`${path}.claim_to_headers[${i}].claim_name`, "is missing");
      return { header: headerName.toLowerCase(), claim: claimName.split(".") };
    }),
    payloadKey: message.payloadInMetadata,
    headerKey: message.headerInMetadata,
    failureKey: message.failedStatusInMetadata,
    spaceDelimitedClaims: message.normalizePayloadInMetadata?.spaceDelimitedClaims ?? [],
    clearsRouteCache: message.clearRouteCache,
    cacheSize: message.jwtCacheConfig?.jwtCacheSize || defaultCacheSize,
    maxCachedLength: message.jwtCacheConfig?.jwtMaxTokenSize || defaultMaxCachedLength,
  };
}

function decodeKeys(message: JwtProviderMessage, path: string, problems: Problems): JwtProvider["keys"] {
  const source = message.jwksSourceSpecifier;
  if (source.case === "remoteJwks") return decodeRemote(source.value, `${path}.remote_jwks`, problems);
  const where = `${path}.local_jwks`;
  if (source.case === undefined) {
    problems.invalid(path, "names no source of keys");
    return parseKeySet("");
  }
  if (source.value.specifier.case === "filename") {
    try {
      return parseKeySet(readFileSync(source.value.specifier.value, "utf8"));
    } catch {
      problems.invalid(where, `the file ${source.value.specifier.value} can't be read`);
      return parseKeySet("");
    }
  }
  const text = inlineText(source.value);
  if (text === undefined) problems.unsupported(where, "keys from there");
  return parseKeySet(text ?? "");
}

const defaultCacheMs = 600_000;
const defaultFailedRefetchMs = 1000;

function decodeRemote(remote: RemoteJwks, path: string, problems: Problems): RemoteKeysConfig {
  refuseUnknown(remote, path, problems);
  const { httpUri, asyncFetch, retryPolicy, cacheDuration } = remote;
  const uri = httpUri?.uri ?? "";
  const cluster = httpUri?.httpUpstreamType.case === "cluster" ? httpUri.httpUpstreamType.value : "";
  const match = /^(?:(https?):\/\/)?([^/?#\s]+)([/?][^#\s]*)?$/.exec(uri);
  if (match === null) problems.invalid(`${path}.http_uri.uri`, `"${uri}" is not an HTTP address`);
  if (cluster === "") problems.invalid(`${path}.http_uri.cluster`, "is missing");
  const [, scheme = "http", authority = "", rest = "/"] = match ?? [];
  return {
    url: uri,
    scheme,
    authority,
    path: rest.startsWith("/") ? rest : `/${rest}`,
    cluster,
    timeoutMs: milliseconds(httpUri?.timeout, 1000),
    cacheMs: milliseconds(cacheDuration, defaultCacheMs),
    isEager: asyncFetch !== undefined,
    failedRefetchMs: milliseconds(asyncFetch?.failedRefetchDuration, defaultFailedRefetchMs),
    ...decodeRetries(retryPolicy),
  };
}

function decodeRetries(policy: RetryPolicy | undefined): {
  readonly retries: number;
  readonly backOffBaseMs: number;
  readonly backOffMaxMs: number;
} {
  const backOffBaseMs = milliseconds(policy?.retryBackOff?.baseInterval, 1000);
  return {
    retries: policy === undefined ? 0 : (policy.numRetries ?? 1),
    backOffBaseMs,
    backOffMaxMs: milliseconds(policy?.retryBackOff?.maxInterval, backOffBaseMs * 10),
  };
}
