// Publishes what this replica sees at its proxies: when it changes, and from time to time while it does not, so that the
// others know that the replica lives.
import { describeError, hasCode } from "#base/error.ts";
import type { Running } from "#base/lifecycle.ts";
import type { Logger } from "#base/log/log.ts";
import type { Clock } from "#base/time/clock.ts";
import { catalogKind } from "#mesh/catalog.ts";
import type { KubernetesClient } from "../sources/kubernetes/client.ts";
import { type ReportPlace, reportObject } from "./distribution-report.ts";

export interface ReportPublisherOptions {
  readonly client: Pick<KubernetesClient, "create" | "update" | "delete">;
  readonly place: () => ReportPlace;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Well below the time after which a replica counts as silent. */
const renewMs = 10_000;
const configMaps = catalogKind("v1", "ConfigMap");

export class ReportPublisher implements Running {
  readonly #options: ReportPublisherOptions;
  #content: string | undefined;
  #published: string | undefined;
  #renewals = 0;
  #working: Promise<void> | undefined;
  #cancelRenewal: () => void = () => {};

  constructor(options: ReportPublisherOptions) {
    this.#options = options;
  }

  /** Makes this what the report says. */
  publish(content: string): void {
    this.#content = content;
    if (content !== this.#published) this.#work();
  }

  /** Takes the report back: no proxies are here any more, or nobody else is there to read it. */
  async withdraw(): Promise<void> {
    this.#content = undefined;
    this.#cancelRenewal();
    await this.#working;
    if (this.#published === undefined || this.#content !== undefined) return;
    this.#published = undefined;
    const { client, log } = this.#options;
    try {
      await client.delete(configMaps, this.#object("[]").metadata);
    } catch (error) {
      log.warn("the report of this replica was not taken back; it ends with the pod", { error: describeError(error) });
    }
  }

  stop(): Promise<void> {
    return this.withdraw();
  }

  #work(): void {
    this.#working ??= this.#write().finally(() => {
      this.#working = undefined;
    });
  }

  async #write(): Promise<void> {
    const { log, clock } = this.#options;
    this.#cancelRenewal();
    try {
      let content = this.#content;
      do {
        if (content === undefined) return;
        await this.#store(content);
        this.#published = content;
        content = this.#content;
      } while (content !== this.#published);
    } catch (error) {
      log.warn("what this replica's proxies have could not be told to the others; trying again", {
        error: describeError(error),
      });
    }
    this.#cancelRenewal = clock.after(renewMs, () => this.#work());
  }

  async #store(content: string): Promise<void> {
    const { client } = this.#options;
    const object = this.#object(content);
    try {
      await client.update(configMaps, object);
    } catch (error) {
      if (!hasCode(error, "API_NOT_FOUND")) throw error;
      await client.create(configMaps, object);
    }
  }

  #object(content: string): ReturnType<typeof reportObject> {
    return reportObject(this.#options.place(), content, ++this.#renewals);
  }
}
