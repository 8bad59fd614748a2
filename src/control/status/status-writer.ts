// Writes statuses to the Kubernetes API: only what differs from what is there, a few at a time, at a bounded rate, again
// after a failure. Whoever computes statuses hands over the whole list and never waits; of an object whose status
// changes faster than it can be written, the last one is written.
import { describeError, hasCode } from "#base/error.ts";
import type { Logger } from "#base/log/log.ts";
import type { Counter } from "#base/metrics/registry.ts";
import { Backoff } from "#base/time/backoff.ts";
import type { Clock } from "#base/time/clock.ts";
import { TokenBucket } from "#base/time/token-bucket.ts";
import { findKind } from "#mesh/catalog.ts";
import { type DesiredStatus, joinStatus } from "#mesh/objects/desired-status.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import type { ObjectIdentity } from "../sources/config-source.ts";
import type { KubernetesClient } from "../sources/kubernetes/client.ts";

export interface StatusWriterOptions {
  readonly client: Pick<KubernetesClient, "find" | "updateStatus">;
  /** The object as it is known to be stored; undefined when it is not in the API server. */
  readonly stored: (object: ObjectIdentity) => KubernetesObject | undefined;
  readonly clock: Clock;
  readonly log: Logger;
  /** By outcome: written, conflict, failed. */
  readonly writes: Counter;
}

/** Istio's PILOT_STATUS_BURST, PILOT_STATUS_QPS and PILOT_STATUS_MAX_WORKERS, of which fewer workers suffice here. */
const burst = 500;
const perSecond = 100;
const maxConcurrent = 8;

export class StatusWriter {
  readonly #options: StatusWriterOptions;
  readonly #rate: TokenBucket;
  #wanted: ReadonlyMap<string, DesiredStatus> = new Map();
  readonly #waiting = new Set<string>();
  readonly #active = new Set<string>();
  /** Our last write, until the watch has brought a newer object. */
  readonly #written = new Map<string, { readonly seen: KubernetesObject; readonly object: KubernetesObject }>();
  readonly #backoffByKey = new Map<string, Backoff>();
  readonly #retries = new Map<string, () => void>();
  #cancelPump: () => void = () => {};

  constructor(options: StatusWriterOptions) {
    this.#options = options;
    this.#rate = new TokenBucket(
      { maxTokens: burst, tokensPerFill: perSecond / 10, fillIntervalMs: 100 },
      options.clock.now(),
    );
  }

  /** Makes these the wanted statuses. What an earlier list wanted and was not written yet is forgotten. */
  want(statuses: Iterable<DesiredStatus>): void {
    this.#wanted = joined(statuses);
    this.#waiting.clear();
    for (const key of this.#written.keys()) if (!this.#wanted.has(key)) this.#written.delete(key);
    for (const [key, desired] of this.#wanted) {
      if (!this.#retries.has(key) && this.#differs(key, desired)) this.#waiting.add(key);
    }
    this.#pump();
  }

  /** Writes nothing more until the next list; what is on its way arrives. */
  pause(): void {
    this.#cancelPump();
    this.#wanted = new Map();
    this.#waiting.clear();
    this.#written.clear();
    for (const cancel of this.#retries.values()) cancel();
    this.#retries.clear();
    this.#backoffByKey.clear();
  }

  #differs(key: string, desired: DesiredStatus): boolean {
    const current = this.#current(key, desired);
    return current !== undefined && this.#nextStatus(current, desired) !== undefined;
  }

  #current(key: string, desired: DesiredStatus): KubernetesObject | undefined {
    const stored = this.#options.stored(desired);
    const own = this.#written.get(key);
    if (own === undefined) return stored;
    if (own.seen === stored) return own.object;
    this.#written.delete(key);
    return stored;
  }

  #nextStatus(object: KubernetesObject, desired: DesiredStatus): Record<string, unknown> | undefined {
    const now = `${new Date(this.#options.clock.now()).toISOString().slice(0, 19)}Z`;
    const next = joinStatus(object["status"], desired.status, now);
    return isSame(object["status"] ?? {}, next) ? undefined : next;
  }

  #pump(): void {
    this.#cancelPump();
    const { clock } = this.#options;
    for (const key of this.#waiting) {
      if (this.#active.size >= maxConcurrent) return;
      if (this.#active.has(key)) continue;
      if (!this.#rate.take(clock.now())) {
        this.#cancelPump = clock.after(Math.max(1, this.#rate.untilFillMs(clock.now())), () => this.#pump());
        return;
      }
      this.#waiting.delete(key);
      this.#active.add(key);
      void this.#write(key).finally(() => {
        this.#active.delete(key);
        this.#pump();
      });
    }
  }

  async #write(key: string): Promise<void> {
    const { client, log, writes } = this.#options;
    const desired = this.#wanted.get(key);
    if (desired === undefined) return;
    const kind = findKind(desired.apiVersion, desired.kind);
    const seen = this.#options.stored(desired);
    if (kind === undefined || seen === undefined) return;
    let current = this.#current(key, desired);
    try {
      for (let attempt = 0; current !== undefined && attempt < 5; attempt++) {
        const status = this.#nextStatus(current, desired);
        if (status === undefined) return;
        try {
          const object = await client.updateStatus(kind, { ...current, status });
          this.#written.set(key, { seen, object });
          this.#backoffByKey.delete(key);
          writes.labels("written").increment();
          return;
        } catch (error) {
          if (!hasCode(error, "API_CONFLICT")) throw error;
          writes.labels("conflict").increment();
          current = await client.find(kind, desired);
        }
      }
      if (current !== undefined) this.#retryLater(key);
    } catch (error) {
      // Deleted meanwhile.
      if (hasCode(error, "API_NOT_FOUND")) return;
      writes.labels("failed").increment();
      const object = `${desired.kind} ${desired.namespace}/${desired.name}`;
      log.warn("a status could not be written; trying again", { object, error: describeError(error) });
      this.#retryLater(key);
    }
  }

  #retryLater(key: string): void {
    let backoff = this.#backoffByKey.get(key);
    if (backoff === undefined) {
      backoff = new Backoff({ initialMs: 500, maxMs: 60_000 });
      this.#backoffByKey.set(key, backoff);
    }
    const cancel = this.#options.clock.after(backoff.next(), () => {
      this.#retries.delete(key);
      this.#waiting.add(key);
      this.#pump();
    });
    this.#retries.set(key, cancel);
  }
}

/** Several may speak of one object: fields are joined, and so are conditions. */
function joined(statuses: Iterable<DesiredStatus>): Map<string, DesiredStatus> {
  const byKey = new Map<string, DesiredStatus>();
  for (const desired of statuses) {
    const key = `${desired.apiVersion}/${desired.kind}/${desired.namespace}/${desired.name}`;
    const earlier = byKey.get(key)?.status;
    if (earlier === undefined) {
      byKey.set(key, desired);
      continue;
    }
    const conditions = [earlier["conditions"], desired.status["conditions"]].filter(Array.isArray).flat();
    const status = { ...earlier, ...desired.status, ...(conditions.length > 0 && { conditions }) };
    byKey.set(key, { ...desired, status });
  }
  return byKey;
}

/** Equal JSON, whatever the order of fields. */
function isSame(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const [left, right] = [a as Record<string, unknown>, b as Record<string, unknown>];
  const names = new Set([...Object.keys(left), ...Object.keys(right)]);
  return [...names].every((name) => isSame(left[name], right[name]));
}
