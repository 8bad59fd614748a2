// Who judges service-account tokens: the cluster's API server, and an issuer besides it where one is named.
import type { Lifecycle } from "#base/lifecycle.ts";
import type { LogRegistry } from "#base/log/log.ts";
import type { MetricRegistry } from "#base/metrics/registry.ts";
import { addressFilter } from "#base/net/address-filter.ts";
import type { Clock } from "#base/time/clock.ts";
import { keySourceName } from "#mesh/snapshot/key-sets.ts";
import type { KeySource } from "#mesh/snapshot/snapshot.ts";
import { IssuerTokenVerifier } from "./ca/issuer-tokens.ts";
import { TokenReviewVerifier, type TokenVerifier } from "./ca/token-review.ts";
import { fetchKeys } from "./jwks/fetch-keys.ts";
import { KeySetKeeper } from "./jwks/key-set-keeper.ts";
import type { ControlPlaneOptions, TokenIssuer } from "./options.ts";

interface Surroundings {
  readonly lifecycle: Lifecycle;
  readonly clock: Clock;
  readonly log: LogRegistry;
  readonly metrics: MetricRegistry;
}

const fetchTimeoutMs = 5000;

/** Undefined where tokens are not accepted. */
export function createTokenVerifier(
  options: ControlPlaneOptions,
  { lifecycle, clock, log, metrics }: Surroundings,
): TokenVerifier | undefined {
  const { client, tokenIssuer } = options;
  const reviews = client === undefined ? undefined : new TokenReviewVerifier(client, clock);
  if (tokenIssuer === undefined) return reviews;
  let keys = (): string | undefined => tokenIssuer.jwks;
  if (tokenIssuer.jwks === undefined) {
    const isAllowed = options.isKeyAddressAllowed ?? addressFilter(options.blockedKeyAddresses);
    const keeper = lifecycle.add(
      new KeySetKeeper({
        fetch: (source) => fetchKeys(source, { isAllowed }),
        clock,
        log: log.scope("jwks"),
        metrics,
        onChange: () => {},
      }),
    );
    const source = keySourceOf(tokenIssuer);
    void keeper.want([source]);
    keys = () => {
      const fetched = keeper.keySets.get(keySourceName(source));
      return fetched !== undefined && "keys" in fetched ? fetched.keys : undefined;
    };
  }
  return new IssuerTokenVerifier({ rule: tokenIssuer, keys, now: () => clock.now(), others: reviews });
}

function keySourceOf({ issuer, jwksUri }: TokenIssuer): KeySource {
  if (jwksUri !== undefined) return { url: jwksUri, kind: "keys", timeoutMs: fetchTimeoutMs };
  const url = `${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`;
  return { url, kind: "openid", timeoutMs: fetchTimeoutMs };
}
