// Tokens whose signature was found good, so that the same token is not verified for each request of a client. What time
// and claims say is asked anew each time. Tokens that are bad are not remembered: whoever sends many would fill it.
import { LRUCache } from "lru-cache";
import type { Jwt } from "#wire/jose/jwt.ts";
import type { KeySet } from "#wire/jose/key-set.ts";
import type { Counter } from "../../../stats/stats.ts";
import type { TokenMemory } from "./authenticate.ts";
import type { JwtProvider } from "./settings.ts";

interface Verified {
  readonly jwt: Jwt;
  /** Other keys than these have not seen it. */
  readonly keys: KeySet;
}

export class VerifiedTokens implements TokenMemory {
  readonly #byProvider = new Map<JwtProvider, LRUCache<string, Verified>>();
  readonly #hits: Counter;
  readonly #misses: Counter;

  constructor(hits: Counter, misses: Counter) {
    this.#hits = hits;
    this.#misses = misses;
  }

  get(provider: JwtProvider, token: string, keys: KeySet): Jwt | undefined {
    const verified = this.#byProvider.get(provider)?.get(token);
    if (verified === undefined || verified.keys !== keys) {
      this.#misses.add();
      return undefined;
    }
    this.#hits.add();
    return verified.jwt;
  }

  put(provider: JwtProvider, token: string, keys: KeySet, jwt: Jwt): void {
    if (token.length > provider.maxCachedLength) return;
    let tokens = this.#byProvider.get(provider);
    if (tokens === undefined) {
      tokens = new LRUCache({ max: provider.cacheSize });
      this.#byProvider.set(provider, tokens);
    }
    tokens.set(token, { jwt, keys });
  }
}
