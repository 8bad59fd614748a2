// Who a service account token belongs to, asked of the API server (TokenReview). Good answers are kept for a short
// while, so that a burst of requests of one proxy costs one review; refusals are kept more briefly still.
import { createHash } from "node:crypto";
import { LRUCache } from "lru-cache";
import { describeError } from "#base/error.ts";
import type { Clock } from "#base/time/clock.ts";
import type { KubernetesClient } from "../sources/kubernetes/client.ts";

interface TokenIdentity {
  readonly namespace: string;
  readonly serviceAccount: string;
  /** Empty for tokens that are not bound to a pod. */
  readonly podName: string;
  readonly podUid?: string;
}

/** An identity, or why there is none, in words. */
export type TokenVerdict = { readonly identity: TokenIdentity } | { readonly refused: string };

export interface TokenVerifier {
  /** The token must be meant for one of the audiences. Never throws. */
  verify(token: string, audiences: readonly string[]): Promise<TokenVerdict>;
}

const acceptedForMs = 20_000;
const refusedForMs = 2_000;
const maxTokenBytes = 16 * 1024;

export class TokenReviewVerifier implements TokenVerifier {
  readonly #client: KubernetesClient;
  readonly #clock: Clock;
  readonly #verdicts = new LRUCache<string, { verdict: TokenVerdict; untilMs: number }>({ max: 10_000 });
  readonly #asking = new Map<string, Promise<TokenVerdict>>();

  constructor(client: KubernetesClient, clock: Clock) {
    this.#client = client;
    this.#clock = clock;
  }

  async verify(token: string, audiences: readonly string[]): Promise<TokenVerdict> {
    if (token.length > maxTokenBytes) return { refused: "the token is too long" };
    const key = createHash("sha256")
      .update(`${audiences.join(",")}\n${token}`)
      .digest("base64");
    const known = this.#verdicts.get(key);
    if (known !== undefined && known.untilMs > this.#clock.now()) return known.verdict;
    let asking = this.#asking.get(key);
    if (asking === undefined) {
      asking = this.#review(key, token, audiences).finally(() => this.#asking.delete(key));
      this.#asking.set(key, asking);
    }
    return asking;
  }

  async #review(key: string, token: string, audiences: readonly string[]): Promise<TokenVerdict> {
    let answer: unknown;
    try {
      answer = await this.#client.raw("POST", "/apis/authentication.k8s.io/v1/tokenreviews", {
        apiVersion: "authentication.k8s.io/v1",
        kind: "TokenReview",
        spec: { token, audiences },
      });
    } catch (error) {
      // Not kept: the API server may be back for the next request.
      return { refused: `the token could not be reviewed: ${describeError(error)}` };
    }
    const verdict = readReview(answer, audiences);
    const lifetimeMs = "identity" in verdict ? acceptedForMs : refusedForMs;
    const now = this.#clock.now();
    this.#verdicts.set(key, {
      verdict,
      untilMs: Math.min(now + lifetimeMs, expiryMs(token) ?? Number.POSITIVE_INFINITY),
    });
    return verdict;
  }
}

interface ReviewStatus {
  readonly authenticated?: boolean;
  readonly error?: string;
  readonly audiences?: readonly string[];
  readonly user?: { readonly username?: string; readonly extra?: Readonly<Record<string, readonly string[]>> };
}

export function readReview(answer: unknown, audiences: readonly string[]): TokenVerdict {
  const status = (answer as { status?: ReviewStatus } | null)?.status;
  if (status?.authenticated !== true) return { refused: status?.error || "the API server does not accept the token" };
  // A server that does not know audiences says authenticated without naming them: that is not enough.
  if (!audiences.some((audience) => status.audiences?.includes(audience))) {
    return { refused: `the token is not meant for ${audiences.join(" or ")}` };
  }
  const [system, kind, namespace, serviceAccount, ...rest] = (status.user?.username ?? "").split(":");
  if (system !== "system" || kind !== "serviceaccount" || !namespace || !serviceAccount || rest.length > 0) {
    return { refused: "the token does not belong to a service account" };
  }
  const podName = status.user?.extra?.["authentication.kubernetes.io/pod-name"]?.[0] ?? "";
  const podUid = status.user?.extra?.["authentication.kubernetes.io/pod-uid"]?.[0] ?? "";
  return { identity: { namespace, serviceAccount, podName, podUid } };
}

/** The expiry a token claims; it only shortens how long a verdict is kept. */
function expiryMs(token: string): number | undefined {
  try {
    const claims = JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString("utf8")) as {
      exp?: unknown;
    };
    return typeof claims.exp === "number" ? claims.exp * 1000 : undefined;
  } catch {
    // Opaque tokens have no claims to read.
    return undefined;
  }
}
