// Whether a service account may list the Secrets of its namespace, as its proxies must to be given any (SDS). The API
// server is asked (SubjectAccessReview), once per account, and again from time to time: permissions come and go.
import { describeError } from "#base/error.ts";
import type { Running } from "#base/lifecycle.ts";
import type { Logger } from "#base/log/log.ts";
import type { Clock } from "#base/time/clock.ts";
import type { WorkloadIdentity } from "#wire/spiffe/spiffe-id.ts";
import type { KubernetesClient } from "../sources/kubernetes/client.ts";

type Account = Pick<WorkloadIdentity, "namespace" | "serviceAccount">;

export interface SecretAccessOptions {
  readonly client: Pick<KubernetesClient, "raw">;
  readonly clock: Clock;
  readonly log: Logger;
  /** Called when an answer differs from the one before. */
  readonly onChange: () => void;
}

const askAgainMs = { allowed: 60_000, denied: 5000, unanswered: 1000 };
/** Accounts that nobody asked about for so long are forgotten. */
const forgottenAfterMs = 10 * 60_000;

interface Known {
  verdict: boolean | undefined;
  lastAskedForMs: number;
  cancel: () => void;
}

export class SecretAccessReviews implements Running {
  readonly #options: SecretAccessOptions;
  readonly #known = new Map<string, Known>();
  #isStopped = false;

  constructor(options: SecretAccessOptions) {
    this.#options = options;
  }

  /** Undefined while nobody has answered yet. */
  mayRead(account: Account): boolean | undefined {
    const key = `${account.namespace}/${account.serviceAccount}`;
    const nowMs = this.#options.clock.now();
    let known = this.#known.get(key);
    if (known === undefined) {
      known = { verdict: undefined, lastAskedForMs: nowMs, cancel: () => {} };
      this.#known.set(key, known);
      void this.#ask(key, account, known);
    }
    known.lastAskedForMs = nowMs;
    return known.verdict;
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    for (const { cancel } of this.#known.values()) cancel();
    this.#known.clear();
  }

  async #ask(key: string, account: Account, known: Known): Promise<void> {
    const { clock, log, onChange } = this.#options;
    if (clock.now() - known.lastAskedForMs > forgottenAfterMs) {
      this.#known.delete(key);
      return;
    }
    const before = known.verdict;
    let againMs: number;
    try {
      known.verdict = await this.#review(account);
      againMs = known.verdict ? askAgainMs.allowed : askAgainMs.denied;
    } catch (error) {
      // What was known before counts on: the API server may only be restarting.
      log.warn("nobody says whether a service account may list Secrets", { account: key, error: describeError(error) });
      againMs = askAgainMs.unanswered;
    }
    if (this.#isStopped) return;
    known.cancel = clock.after(againMs, () => void this.#ask(key, account, known));
    if (known.verdict === before) return;
    if (known.verdict === false) {
      log.warn("a service account may not list Secrets, and its proxies are given none", { account: key });
    }
    onChange();
  }

  async #review({ namespace, serviceAccount }: Account): Promise<boolean> {
    const answer = await this.#options.client.raw("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", {
      apiVersion: "authorization.k8s.io/v1",
      kind: "SubjectAccessReview",
      spec: {
        user: `system:serviceaccount:${namespace}:${serviceAccount}`,
        groups: ["system:serviceaccounts", `system:serviceaccounts:${namespace}`, "system:authenticated"],
        resourceAttributes: { namespace, verb: "list", resource: "secrets" },
      },
    });
    const status = (answer as { status?: { allowed?: unknown; denied?: unknown } } | null)?.status;
    return status?.allowed === true && status.denied !== true;
  }
}
