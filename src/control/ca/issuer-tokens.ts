// Tokens of one issuer that is not the cluster's API server, verified with its keys: for workloads outside of Kubernetes.
// Istio's JWT_RULE. The subject names the service account, as in tokens of Kubernetes.
import { isJwt, parseJwt } from "#wire/jose/jwt.ts";
import { isKeySet, parseKeySet, verifyJws } from "#wire/jose/key-set.ts";
import { jwtOk } from "#wire/jose/status.ts";
import type { TokenVerdict, TokenVerifier } from "./token-review.ts";

interface IssuerRule {
  readonly issuer: string;
  /** Default: those of the certificate service. */
  readonly audiences: readonly string[];
}

export interface IssuerTokensOptions {
  readonly rule: IssuerRule;
  /** The issuer's key set, JSON; undefined while it could not be fetched. */
  readonly keys: () => string | undefined;
  readonly now: () => number;
  /** Who judges tokens of other issuers; absent where there is nobody. */
  readonly others: TokenVerifier | undefined;
}

const clockSkewSeconds = 60;

export class IssuerTokenVerifier implements TokenVerifier {
  readonly #options: IssuerTokensOptions;

  constructor(options: IssuerTokensOptions) {
    this.#options = options;
  }

  async verify(token: string, audiences: readonly string[]): Promise<TokenVerdict> {
    const { rule, others } = this.#options;
    const jwt = parseJwt(token);
    if (!isJwt(jwt) || jwt.issuer !== rule.issuer) {
      if (others !== undefined) return others.verify(token, audiences);
      return { refused: isJwt(jwt) ? `the token's issuer is not ${rule.issuer}` : jwt.text };
    }
    const keys = this.#options.keys();
    if (keys === undefined) return { refused: `the keys of ${rule.issuer} have not been fetched` };
    const keySet = parseKeySet(keys);
    if (!isKeySet(keySet)) return { refused: `the keys of ${rule.issuer} cannot be used: ${keySet.text}` };
    const status = verifyJws(jwt.jws, keySet);
    if (status !== jwtOk) return { refused: status.text };
    const nowSeconds = this.#options.now() / 1000;
    if (jwt.expiresAt === undefined) return { refused: "the token has no end" };
    if (jwt.expiresAt + clockSkewSeconds <= nowSeconds) return { refused: "the token has expired" };
    if ((jwt.notBefore ?? 0) - clockSkewSeconds > nowSeconds) return { refused: "the token is not valid yet" };
    const expected = rule.audiences.length > 0 ? rule.audiences : audiences;
    if (!jwt.audiences.some((audience) => expected.includes(audience))) {
      return { refused: `the token is not meant for ${expected.join(" or ")}` };
    }
    return readSubject(jwt.subject ?? "");
  }
}

const subject = /^system:serviceaccount:([a-z0-9][-a-z0-9.]{0,252}):([a-z0-9][-a-z0-9.]{0,252})$/;

function readSubject(text: string): TokenVerdict {
  const [, namespace, serviceAccount] = subject.exec(text) ?? [];
  if (namespace === undefined || serviceAccount === undefined) {
    return { refused: "the token's subject is not system:serviceaccount:NAMESPACE:NAME" };
  }
  return { identity: { namespace, serviceAccount, podName: "" } };
}
