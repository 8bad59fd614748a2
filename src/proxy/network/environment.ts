// What network filters need from the rest of the proxy: the HTTP part's needs and the TLS contexts.
import type { HttpConnectionManagerConfig } from "../config/http.ts";
import { HttpConnectionManager } from "../http/connection-manager.ts";
import type { HttpEnvironment } from "../http/environment.ts";

export interface NetworkEnvironment {
  readonly http: HttpEnvironment;
  /** One manager per configuration object, so that listener updates that keep a chain keep its manager. */
  readonly managerFor: (config: HttpConnectionManagerConfig) => HttpConnectionManager;
}

export function createNetworkEnvironment(http: HttpEnvironment): NetworkEnvironment {
  const managers = new WeakMap<HttpConnectionManagerConfig, HttpConnectionManager>();
  return {
    http,
    managerFor: (config) => {
      let manager = managers.get(config);
      if (manager === undefined) {
        manager = new HttpConnectionManager(config, http);
        managers.set(config, manager);
      }
      return manager;
    },
  };
}
