// The keys of an issuer, fetched through a cluster and kept for a while. Without keys every token of that issuer is
// refused. Requests that come while there are none wait for one fetch together; a failed one is not repeated at once, and
// keys that are about to expire are fetched again while they still serve. Nothing is fetched that nobody asks for.
import { Headers } from "#wire/http/headers.ts";
import { isKeySet, type KeySet, parseKeySet } from "#wire/jose/key-set.ts";
import type { ClusterManager } from "../../../upstream/cluster-manager.ts";
import {
  callHttp,
  type HttpCallEnvironment,
  type HttpCaller,
  type HttpCallFailure,
  type HttpCallResponse,
} from "../../../upstream/http-call.ts";
import type { RemoteKeysConfig } from "./settings.ts";

/** An answer that is longer is no key set. */
const maxResponseBytes = 1_048_576;
/** Keys are fetched again this long before they expire. */
const refreshAheadMs = 5000;

/** Hears of each fetch, for counters and logs. */
export interface FetchObserver {
  onKeysFetched(): void;
  onKeysMissing(url: string, words: string): void;
}

/** Keys that are read no more are let go of after as many times their life. */
const forgottenAfterLives = 4;

/** By what is fetched and how: a configuration that comes anew goes on with the keys of the one before. */
const known = new WeakMap<ClusterManager, Map<string, RemoteKeys>>();

export function remoteKeysFor(
  config: RemoteKeysConfig,
  environment: HttpCallEnvironment,
  observer: FetchObserver,
): RemoteKeys {
  let all = known.get(environment.clusters);
  if (all === undefined) {
    all = new Map();
    known.set(environment.clusters, all);
  }
  for (const [key, keys] of all) if (keys.isForgotten) all.delete(key);
  const key = JSON.stringify(config);
  let keys = all.get(key);
  if (keys === undefined) {
    keys = new RemoteKeys(config, environment, observer);
    all.set(key, keys);
  }
  return keys;
}

export class RemoteKeys implements HttpCaller {
  readonly config: RemoteKeysConfig;
  readonly #environment: HttpCallEnvironment;
  readonly #observer: FetchObserver;
  #keys: KeySet | null = null;
  #expiresAtMs = 0;
  /** Why there are no keys now; empty when that is not known. */
  #failure = "";
  #notBeforeMs = 0;
  #isFetching = false;
  #attempts = 0;
  #readAtMs: number;
  #waiting: (() => void)[] = [];

  constructor(config: RemoteKeysConfig, environment: HttpCallEnvironment, observer: FetchObserver) {
    this.config = config;
    this.#environment = environment;
    this.#observer = observer;
    this.#readAtMs = environment.loop.now;
  }

  get isForgotten(): boolean {
    return this.#environment.loop.now - this.#readAtMs > forgottenAfterLives * this.config.cacheMs;
  }

  /** The keys; "pending" when it is worth to wait; or why there are none. */
  read(): KeySet | "pending" | { readonly failure: string } {
    const { now } = this.#environment.loop;
    this.#readAtMs = now;
    if (this.#keys !== null && now < this.#expiresAtMs) {
      if (now >= this.#expiresAtMs - refreshAheadMs) this.#fetch();
      return this.#keys;
    }
    if (this.#isFetching) return "pending";
    if (now < this.#notBeforeMs) return { failure: this.#failure };
    this.#fetch();
    return "pending";
  }

  /** Calls back when the fetch that is under way is over. */
  whenSettled(callback: () => void): void {
    this.#waiting.push(callback);
  }

  /** Fetches unless there are good keys, or that is under way or was tried a moment ago. */
  prepare(): void {
    if (this.#keys === null || this.#environment.loop.now >= this.#expiresAtMs) this.#fetch();
  }

  #fetch(): void {
    if (this.#isFetching || this.#environment.loop.now < this.#notBeforeMs) return;
    this.#isFetching = true;
    this.#attempts = 0;
    this.#ask();
  }

  #ask(): void {
    const { authority, cluster, path, scheme, timeoutMs } = this.config;
    this.#attempts++;
    callHttp(
      this.#environment,
      {
        cluster,
        method: "GET",
        scheme,
        authority,
        path,
        headers: new Headers(),
        body: null,
        timeoutMs,
        maxResponseBytes,
      },
      this,
    );
  }

  onCallDone({ status, body }: HttpCallResponse): void {
    if (status !== 200) {
      this.#failed(`it answered ${status}`, status >= 500);
      return;
    }
    const keys = parseKeySet(body.toString("utf8"));
    if (!isKeySet(keys)) {
      this.#failed(keys.text, false);
      return;
    }
    this.#keys = keys;
    this.#failure = "";
    this.#expiresAtMs = this.#environment.loop.now + this.config.cacheMs;
    this.#observer.onKeysFetched();
    this.#settle();
  }

  onCallFailed({ words }: HttpCallFailure): void {
    this.#failed(words, true);
  }

  #failed(words: string, isWorthRepeating: boolean): void {
    const { backOffBaseMs, backOffMaxMs, failedRefetchMs, retries, url } = this.config;
    const { loop } = this.#environment;
    if (isWorthRepeating && this.#attempts <= retries) {
      const limitMs = Math.min(backOffMaxMs, backOffBaseMs * 2 ** (this.#attempts - 1));
      loop.after(Math.floor(loop.random() * limitMs), () => this.#ask());
      return;
    }
    this.#failure = words;
    this.#notBeforeMs = loop.now + failedRefetchMs;
    this.#observer.onKeysMissing(url, words);
    this.#settle();
  }

  #settle(): void {
    this.#isFetching = false;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const callback of waiting) callback();
  }
}
