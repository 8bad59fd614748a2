// What network filters need from the rest of the proxy, and the filter chains and HTTP managers that are made of
// configurations.
import type { TokenBucket } from "#base/time/token-bucket.ts";
import type { HttpConnectionManagerConfig } from "../config/http.ts";
import type { FilterChainConfig } from "../config/listener.ts";
import { HttpConnectionManager } from "../http/connection-manager.ts";
import type { HttpEnvironment } from "../http/environment.ts";
import { type ConfiguredChain, configureChain } from "./chain.ts";
import type { NetworkFilterType } from "./filter.ts";

export interface NetworkEnvironment {
  readonly http: HttpEnvironment;
  /** The filters that configurations may name. */
  readonly filterTypes: readonly NetworkFilterType[];
  /** One manager per configuration object, so that listener updates that keep a chain keep its manager. */
  readonly managerFor: (config: HttpConnectionManagerConfig) => HttpConnectionManager;
  /** Buckets of local rate limits that share one by a key. */
  readonly sharedBuckets: Map<string, TokenBucket>;
  /** Likewise. */
  readonly chainFor: (config: FilterChainConfig) => ConfiguredChain;
}

export function createNetworkEnvironment(
  http: HttpEnvironment,
  filterTypes: readonly NetworkFilterType[],
): NetworkEnvironment {
  const managers = new WeakMap<HttpConnectionManagerConfig, HttpConnectionManager>();
  const chains = new WeakMap<FilterChainConfig, ConfiguredChain>();
  const environment: NetworkEnvironment = {
    http,
    filterTypes,
    sharedBuckets: new Map(),
    managerFor: (config) => {
      let manager = managers.get(config);
      if (manager === undefined) {
        manager = new HttpConnectionManager(config, http);
        managers.set(config, manager);
      }
      return manager;
    },
    chainFor: (config) => {
      let chain = chains.get(config);
      if (chain === undefined) {
        chain = configureChain(config, environment);
        chains.set(config, chain);
      }
      return chain;
    },
  };
  return environment;
}
