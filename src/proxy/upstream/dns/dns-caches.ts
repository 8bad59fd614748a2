// The DNS caches of a proxy, by name. Clusters and filters that name the same one share it, whichever comes first; it
// lives as long as the proxy, and goes by what was configured last.
import type { DnsCacheConfig } from "../../config/dns-cache.ts";
import { DnsCache, type DnsCacheOptions } from "./dns-cache.ts";

export class DnsCaches {
  readonly #options: DnsCacheOptions;
  readonly #caches = new Map<string, DnsCache>();

  constructor(options: DnsCacheOptions) {
    this.#options = options;
  }

  get(config: DnsCacheConfig): DnsCache {
    let cache = this.#caches.get(config.name);
    if (cache === undefined) {
      cache = new DnsCache(config, this.#options);
      this.#caches.set(config.name, cache);
    }
    cache.config = config;
    return cache;
  }

  stop(): void {
    for (const cache of this.#caches.values()) cache.stop();
    this.#caches.clear();
  }
}
