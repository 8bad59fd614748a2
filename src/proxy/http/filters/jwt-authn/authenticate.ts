// HOT: per request. Whether the tokens of a request meet a requirement: one pure function for the live filter and for
// explain, which differ in where keys come from. What has to be changed in the request is returned, not done.
import { isJwt, type Jwt, jwtWithClaims, parseJwt } from "#wire/jose/jwt.ts";
import { type KeySet, verifyJws } from "#wire/jose/key-set.ts";
import {
  type JwtStatus,
  jwksFetchFails,
  jwtAudienceNotAllowed,
  jwtExpired,
  jwtMissed,
  jwtNotYetValid,
  jwtOk,
  jwtUnknownIssuer,
  jwtVerificationFails,
} from "#wire/jose/status.ts";
import type { JsonObject } from "#wire/jose/strict-json.ts";
import { plainAudience, type Requirement } from "./requirement.ts";
import type { JwtProvider, RemoteKeysConfig } from "./settings.ts";
import { describePlace, type FoundToken, findTokens, type TokenHolder, type TokenPlace } from "./token-places.ts";

/** What an evaluation looks at. */
export interface Asked {
  readonly holder: TokenHolder;
  readonly providers: ReadonlyMap<string, JwtProvider>;
  readonly nowSeconds: number;
  readonly keys: KeySource;
  readonly memory: TokenMemory | null;
  /** Claims of a token that is taken for good, in place of those that the request carries. */
  readonly assumed: JsonObject | null;
}

export interface KeySource {
  /** Keys; a status when the configuration's own are none; "pending" while they are fetched; or why they are missing. */
  keysOf(provider: JwtProvider): KeySet | JwtStatus | "pending" | { readonly failure: string };
}

/** Tokens that were verified, with the keys that did it. */
export interface TokenMemory {
  get(provider: JwtProvider, token: string, keys: KeySet): Jwt | undefined;
  put(provider: JwtProvider, token: string, keys: KeySet, jwt: Jwt): void;
}

export interface AcceptedToken {
  readonly provider: JwtProvider;
  readonly found: FoundToken;
  readonly jwt: Jwt;
}

interface FailedToken {
  readonly provider: JwtProvider;
  readonly status: JwtStatus;
}

export interface Authentication {
  readonly status: JwtStatus;
  /** Why it failed; empty when it did not. */
  readonly words: string;
  /** Whose requirement was not met; null when all were. */
  readonly provider: JwtProvider | null;
  readonly accepted: readonly AcceptedToken[];
  readonly failed: readonly FailedToken[];
  /** Providers whose keys have to come before there is a status; the status is then `waiting`. */
  readonly pending: readonly JwtProvider[];
}

/** No status of a token: there is none yet. */
export const waiting: JwtStatus = { code: -1, text: "waiting for keys" };

export function authenticate(requirement: Requirement, asked: Asked): Authentication {
  const evaluation = new Evaluation(asked);
  const { accepted, failed, pending } = evaluation;
  return { ...evaluation.meets(requirement), accepted, failed, pending };
}

type Judgement = Pick<Authentication, "status" | "words" | "provider">;

const good: Judgement = { status: jwtOk, words: "", provider: null };
const pendingKeys: Judgement = { status: waiting, words: "", provider: null };

class Evaluation {
  readonly accepted: AcceptedToken[] = [];
  readonly failed: FailedToken[] = [];
  readonly pending: JwtProvider[] = [];
  readonly #asked: Asked;

  constructor(asked: Asked) {
    this.#asked = asked;
  }

  meets(requirement: Requirement): Judgement {
    switch (requirement.type) {
      case "none":
        return good;
      case "provider":
        return this.#provider(requirement.provider, requirement.audiences);
      case "all":
        return this.#all(requirement.of);
      case "any":
        return this.#any(requirement.of);
      case "allow_missing":
        return this.#anybody(requirement.failed);
    }
  }

  #all(requirements: readonly Requirement[]): Judgement {
    let result = good;
    for (const requirement of requirements) {
      const judgement = this.meets(requirement);
      if (judgement.status === waiting) result = judgement;
      else if (judgement.status !== jwtOk) return judgement;
    }
    return result;
  }

  /** A token that is bad says more than one that is somebody else's, and that says more than none. */
  #any(requirements: readonly Requirement[]): Judgement {
    let worst: Judgement | null = null;
    let isWaiting = false;
    let allowsMissing = false;
    let allowsFailed = false;
    for (const requirement of requirements) {
      if (requirement.type === "allow_missing") {
        allowsMissing = true;
        allowsFailed ||= requirement.failed;
        continue;
      }
      const judgement = this.meets(requirement);
      if (judgement.status === jwtOk) return good;
      if (judgement.status === waiting) isWaiting = true;
      else if (worst === null || severity(judgement.status) >= severity(worst.status)) worst = judgement;
    }
    if (isWaiting) return pendingKeys;
    if (allowsFailed || worst === null) return good;
    return allowsMissing && worst.status === jwtMissed ? good : worst;
  }

  #provider(provider: JwtProvider, audiences: readonly string[]): Judgement {
    const { assumed, holder } = this.#asked;
    if (assumed !== null) return this.#assumed(assumed, provider, audiences);
    const tokens = findTokens(holder, provider.places);
    if (tokens.length === 0) {
      const places = provider.places.map(describePlace).join(" or ");
      return this.#failure(provider, jwtMissed, `there is no token of provider ${provider.name} in ${places}`);
    }
    // Each of several tokens must be good: the application may read any of them.
    let result = good;
    for (const found of tokens) {
      const judgement = this.#token(found, provider, audiences);
      if (judgement.status === waiting) result = judgement;
      else if (judgement.status !== jwtOk) return judgement;
    }
    return result;
  }

  #assumed(claims: JsonObject, provider: JwtProvider, audiences: readonly string[]): Judgement {
    const jwt = jwtWithClaims(claims);
    if (!isJwt(jwt)) return this.#failure(provider, jwt, `the claims: ${jwt.text}`);
    const objection = this.#objection(jwt, provider, audiences);
    if (objection !== null) return this.#failure(provider, objection.status, `the token ${objection.words}`);
    this.accepted.push({ provider, found: { token: "", place: provider.places[0] as TokenPlace }, jwt });
    return good;
  }

  /** Tokens of whichever provider: what is there must be good, unless failing is allowed too. */
  #anybody(allowsFailed: boolean): Judgement {
    let result = good;
    const seen = new Set<string>();
    for (const provider of this.#asked.providers.values()) {
      for (const found of findTokens(this.#asked.holder, provider.places)) {
        if (seen.has(found.token)) continue;
        seen.add(found.token);
        const judgement = this.#tokenOfAnybody(found, provider);
        if (judgement.status === waiting) result = judgement;
        else if (judgement.status !== jwtOk && !allowsFailed) return judgement;
      }
    }
    return result;
  }

  #tokenOfAnybody(found: FoundToken, first: JwtProvider): Judgement {
    const jwt = parseJwt(found.token);
    if (!isJwt(jwt)) return this.#failure(first, jwt, `${describeToken(found)}: ${jwt.text}`);
    const places = [found.place];
    for (const provider of this.#asked.providers.values()) {
      if (provider.issuer !== (jwt.issuer ?? "")) continue;
      if (!provider.places.some(({ type, name }) => places.some((it) => it.type === type && it.name === name)))
        continue;
      return this.#token(found, provider, provider.audiences);
    }
    return this.#failure(
      first,
      jwtUnknownIssuer,
      `${describeToken(found)} is of issuer "${jwt.issuer ?? ""}", which no provider has`,
    );
  }

  #token(found: FoundToken, provider: JwtProvider, audiences: readonly string[]): Judgement {
    const keys = this.#asked.keys.keysOf(provider);
    const known =
      typeof keys === "object" && "keys" in keys ? this.#asked.memory?.get(provider, found.token, keys) : undefined;
    const jwt = known ?? parseJwt(found.token);
    if (!isJwt(jwt)) return this.#failure(provider, jwt, `${describeToken(found)}: ${jwt.text}`);
    const objection = this.#objection(jwt, provider, audiences);
    if (objection !== null) {
      return this.#failure(provider, objection.status, `${describeToken(found)} ${objection.words}`);
    }
    if (known === undefined) {
      const judgement = this.#signature(found, jwt, provider, keys);
      if (judgement !== good) return judgement;
    }
    if (!this.accepted.some((it) => it.provider === provider && it.found.token === found.token)) {
      this.accepted.push({ provider, found, jwt });
    }
    return good;
  }

  #signature(found: FoundToken, jwt: Jwt, provider: JwtProvider, keys: ReturnType<KeySource["keysOf"]>): Judgement {
    if (keys === "pending") {
      this.pending.push(provider);
      return pendingKeys;
    }
    if ("failure" in keys) {
      const url = remoteUrl(provider);
      return this.#failure(
        provider,
        jwksFetchFails,
        `the keys of provider ${provider.name} are missing: ${url}: ${keys.failure}`,
      );
    }
    if (!("keys" in keys)) {
      return this.#failure(provider, keys, `provider ${provider.name} has no keys: ${keys.text}`);
    }
    const status = verifyJws(jwt.jws, keys);
    if (status === jwtOk) {
      this.#asked.memory?.put(provider, found.token, keys, jwt);
      return good;
    }
    const { algorithm, kid } = jwt.jws;
    const which = kid === undefined ? algorithm : `${algorithm} with key "${kid}"`;
    const words =
      status === jwtVerificationFails
        ? `is not signed by a key of provider ${provider.name} (${which}; its keys: ${keyNames(keys)})`
        : `is signed with ${which}, and provider ${provider.name} has no such key (its keys: ${keyNames(keys)})`;
    return this.#failure(provider, status, `${describeToken(found)} ${words}`);
  }

  /** What the claims say against it. */
  #objection(jwt: Jwt, provider: JwtProvider, audiences: readonly string[]): Objection | null {
    const now = this.#asked.nowSeconds;
    const { clockSkewSeconds: skew, issuer, maxLifetimeSeconds, requiresExpiration, subjects } = provider;
    if (issuer !== "" && jwt.issuer !== issuer) {
      return objection(
        jwtUnknownIssuer,
        `is of issuer "${jwt.issuer ?? ""}", and provider ${provider.name} takes "${issuer}"`,
      );
    }
    const { notBefore, expiresAt } = jwt;
    if (notBefore !== undefined && notBefore > now + skew) {
      return objection(jwtNotYetValid, `is valid from ${timeText(notBefore)} on`);
    }
    if (expiresAt !== undefined && now > expiresAt + skew) {
      return objection(jwtExpired, `expired at ${timeText(expiresAt)}`);
    }
    if (audiences.length > 0 && !jwt.audiences.some((it) => audiences.includes(plainAudience(it)))) {
      return objection(
        jwtAudienceNotAllowed,
        `is for ${listText(jwt.audiences)}, and ${listText(audiences)} is wanted`,
      );
    }
    if (subjects !== null && !subjects.matches(jwt.subject ?? "")) {
      return objection(
        jwtVerificationFails,
        `has the subject "${jwt.subject ?? ""}", wanted is ${subjects.description}`,
      );
    }
    if (requiresExpiration && expiresAt === undefined) return objection(jwtVerificationFails, "never expires");
    if (maxLifetimeSeconds > 0 && expiresAt !== undefined && expiresAt - now > maxLifetimeSeconds) {
      return objection(
        jwtVerificationFails,
        `lives until ${timeText(expiresAt)}, longer than ${maxLifetimeSeconds} s from now`,
      );
    }
    return null;
  }

  #failure(provider: JwtProvider, status: JwtStatus, words: string): Judgement {
    this.failed.push({ provider, status });
    return { status, words, provider };
  }
}

interface Objection {
  readonly status: JwtStatus;
  readonly words: string;
}

function objection(status: JwtStatus, words: string): Objection {
  return { status, words };
}

function severity(status: JwtStatus): number {
  if (status === jwtMissed) return 0;
  return status === jwtUnknownIssuer ? 1 : 2;
}

function describeToken({ place }: FoundToken): string {
  return `the token in ${describePlace(place)}`;
}

export function isRemote(keys: JwtProvider["keys"]): keys is RemoteKeysConfig {
  return "url" in keys;
}

function remoteUrl({ keys }: JwtProvider): string {
  return isRemote(keys) ? `${keys.url} through cluster ${keys.cluster}` : "";
}

function keyNames({ keys }: KeySet): string {
  const names = keys.slice(0, 8).map(({ kid }) => (kid === undefined ? "one without a name" : `"${kid}"`));
  return [...names, ...(keys.length > 8 ? [`${keys.length - 8} more`] : [])].join(", ");
}

function timeText(seconds: number): string {
  const milliseconds = seconds * 1000;
  return milliseconds <= 8.64e15 ? new Date(milliseconds).toISOString() : `${seconds} s`;
}

function listText(values: readonly string[]): string {
  return values.length === 0
    ? "nobody"
    : values
        .slice(0, 8)
        .map((it) => `"${it.slice(0, 256)}"`)
        .join(", ");
}
