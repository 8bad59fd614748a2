// Keeps a local copy of one collection: lists it, then watches from the list's resource version. A watch that ends is
// resumed from the last version seen (bookmarks move it on), one that is too old (410) lists again, and every failure
// backs off with jitter. States: listing → watching → (resuming | listing) ...; a kind that the server does not have
// counts as an empty collection and is asked for again from time to time.
import { describeError, hasCode } from "#base/error.ts";
import type { Running } from "#base/lifecycle.ts";
import type { Logger } from "#base/log/log.ts";
import { Backoff } from "#base/time/backoff.ts";
import type { Clock } from "#base/time/clock.ts";
import type { CatalogEntry } from "#mesh/catalog.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import type { KubernetesClient, Selection } from "./client.ts";

interface CollectionHandlers {
  /** The whole collection, after a list. */
  replace(objects: readonly KubernetesObject[]): void;
  apply(object: KubernetesObject): void;
  remove(object: KubernetesObject): void;
}

export interface ReflectorOptions {
  readonly client: KubernetesClient;
  readonly kind: CatalogEntry;
  readonly selection?: Selection;
  readonly handlers: CollectionHandlers;
  readonly log: Logger;
  readonly clock: Clock;
  readonly random?: () => number;
}

const missingKindRetryMs = 30_000;
const healthyWatchMs = 5_000;

export class Reflector implements Running {
  readonly #options: ReflectorOptions;
  readonly #abort = new AbortController();
  readonly #backoff: Backoff;
  #loop: Promise<void> | undefined;
  #isSynced = false;

  constructor(options: ReflectorOptions) {
    this.#options = options;
    const { random } = options;
    this.#backoff = new Backoff({ initialMs: 200, maxMs: 30_000, ...(random && { random }) });
  }

  get isSynced(): boolean {
    return this.#isSynced;
  }

  /** Resolves when the first list is there; failures until then are retried. */
  start(): Promise<void> {
    return new Promise((resolve) => {
      this.#loop = this.#run(resolve);
    });
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    await this.#loop;
  }

  async #run(onSynced: () => void): Promise<void> {
    const { client, kind, selection = {}, handlers, log, clock } = this.#options;
    const { signal } = this.#abort;
    let resourceVersion: string | undefined;
    let startedMs = clock.now();
    while (!signal.aborted) {
      try {
        if (resourceVersion === undefined) {
          const list = await client.list(kind, selection);
          handlers.replace(list.items);
          resourceVersion = list.resourceVersion;
          this.#markSynced(onSynced);
        }
        startedMs = clock.now();
        for await (const event of client.watch(kind, { ...selection, resourceVersion, signal })) {
          if (event.type === "BOOKMARK") {
            if (event.resourceVersion !== "") resourceVersion = event.resourceVersion;
            continue;
          }
          resourceVersion = event.object.metadata.resourceVersion ?? resourceVersion;
          if (event.type === "DELETED") handlers.remove(event.object);
          else handlers.apply(event.object);
        }
        // A server that ends every watch at once must not be asked in a tight loop.
        if (clock.now() - startedMs > healthyWatchMs) this.#backoff.reset();
        await this.#sleep(this.#backoff.next());
      } catch (error) {
        if (signal.aborted) break;
        if (clock.now() - startedMs > healthyWatchMs) this.#backoff.reset();
        if (hasCode(error, "API_GONE")) {
          resourceVersion = undefined;
        } else if (hasCode(error, "API_NOT_FOUND")) {
          resourceVersion = undefined;
          log.debug("kind is not served", { kind: kind.kind, group: kind.group });
          handlers.replace([]);
          this.#markSynced(onSynced);
          await this.#sleep(missingKindRetryMs);
          continue;
        } else {
          log.warn("watch interrupted", { kind: kind.kind, error: describeError(error) });
        }
        await this.#sleep(this.#backoff.next());
      }
    }
    onSynced();
  }

  #markSynced(onSynced: () => void): void {
    this.#isSynced = true;
    onSynced();
  }

  #sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      const { signal } = this.#abort;
      const done = (): void => {
        cancel();
        signal.removeEventListener("abort", done);
        resolve();
      };
      const cancel = this.#options.clock.after(delayMs, done);
      if (signal.aborted) done();
      else signal.addEventListener("abort", done);
    });
  }
}
