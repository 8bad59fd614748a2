// Tells operators what happens to the CA: Kubernetes Events at the Secret that its material comes from. A repeated one
// is counted, and one that cannot be written is only missing there: the log has it too.
import { createHash } from "node:crypto";
import { describeError, hasCode } from "#base/error.ts";
import type { Logger } from "#base/log/log.ts";
import type { Clock } from "#base/time/clock.ts";
import { catalogKind } from "#mesh/catalog.ts";
import type { KubernetesClient } from "../sources/kubernetes/client.ts";

export type AuthorityEventReason = "CARotated" | "CAExpiring" | "CAExpired" | "CAInvalid";

export interface AuthorityEventsOptions {
  readonly client: KubernetesClient;
  readonly namespace: string;
  readonly clock: Clock;
  readonly log: Logger;
}

const events = catalogKind("v1", "Event");
const component = "istiod";
const maxMessageLength = 1024;

export class AuthorityEvents {
  readonly #options: AuthorityEventsOptions;
  /** One after the other, so that counts are right. */
  #writing: Promise<void> = Promise.resolve();

  constructor(options: AuthorityEventsOptions) {
    this.#options = options;
  }

  record(secretName: string, reason: AuthorityEventReason, message: string): void {
    this.#writing = this.#writing
      .then(() => this.#write(secretName, reason, message.slice(0, maxMessageLength)))
      .catch((error: unknown) => {
        this.#options.log.warn("an event could not be recorded", { reason, error: describeError(error) });
      });
  }

  async #write(secretName: string, reason: AuthorityEventReason, message: string): Promise<void> {
    const { client, namespace, clock } = this.#options;
    const type = reason === "CARotated" ? "Normal" : "Warning";
    const digest = createHash("sha256").update(`${type} ${reason} ${message}`).digest("hex").slice(0, 16);
    const name = `${secretName}.${digest}`;
    const now = `${new Date(clock.now()).toISOString().slice(0, 19)}Z`;
    try {
      await client.create(events, {
        apiVersion: "v1",
        kind: "Event",
        metadata: { name, namespace },
        involvedObject: { apiVersion: "v1", kind: "Secret", name: secretName, namespace },
        type,
        reason,
        message,
        source: { component },
        reportingComponent: component,
        reportingInstance: "",
        firstTimestamp: now,
        lastTimestamp: now,
        count: 1,
      });
    } catch (error) {
      if (!hasCode(error, "API_ALREADY_EXISTS")) throw error;
      const before = await client.get(events, { name, namespace });
      const count = Number(before["count"] ?? 1) + 1;
      await client.patch(events, { name, namespace }, { count, lastTimestamp: now });
    }
  }
}
