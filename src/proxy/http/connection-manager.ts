// One HTTP connection manager as configured, shared by all connections of its filter chain: filters made from their
// settings, the route configuration found, access logs written. Made once per configuration object.
import { DATE, SERVER } from "#wire/http/header-names.ts";
import type { Headers } from "#wire/http/headers.ts";
import type { HttpConnectionManagerConfig, RouteConfig } from "../config/http.ts";
import { accessLogEntry } from "./access-log-entry.ts";
import type { HttpEnvironment } from "./environment.ts";
import { type HookLists, type HttpFilterFactory, hookLists } from "./filter.ts";
import { configureFilter } from "./filters/all.ts";
import type { Stream } from "./stream.ts";

export class HttpConnectionManager {
  readonly config: HttpConnectionManagerConfig;
  readonly environment: HttpEnvironment;
  /** Whether istio.alpn is in the chain. */
  readonly overridesAlpn: boolean;
  readonly #factories: readonly HttpFilterFactory[];
  /** The lists for all streams, when no filter keeps state of a stream. */
  readonly #sharedHooks: HookLists | null;
  #dateSecond = 0;
  #date = "";

  constructor(config: HttpConnectionManagerConfig, environment: HttpEnvironment) {
    this.config = config;
    this.environment = environment;
    this.overridesAlpn = config.httpFilters.some((filter) => filter.type === "istio_alpn");
    this.#factories = config.httpFilters.flatMap((filter) => configureFilter(filter, environment) ?? []);
    const shared = this.#factories.flatMap((factory) => factory.shared ?? []);
    this.#sharedHooks = shared.length === this.#factories.length ? hookLists(shared) : null;
  }

  hooks(): HookLists {
    return this.#sharedHooks ?? hookLists(this.#factories.map((factory) => factory.shared ?? factory.create()));
  }

  /** The route configuration as it is now; null while RDS has not delivered it. */
  routeConfig(): RouteConfig | null {
    const { routeConfig, routeConfigName } = this.config;
    if (routeConfig !== null) return routeConfig;
    return routeConfigName === null ? null : (this.environment.routes.get(routeConfigName) ?? null);
  }

  /** Sets what every response carries. */
  finishResponseHead(headers: Headers): void {
    const { serverHeader, serverName } = this.config;
    if (serverHeader === "overwrite" || (serverHeader === "append_if_absent" && !headers.hasId(SERVER))) {
      headers.setId(SERVER, serverName);
    }
    if (!headers.hasId(DATE)) headers.addKnown(DATE, "date", this.#httpDate());
  }

  #httpDate(): string {
    const now = this.environment.loop.now;
    const second = Math.floor(now / 1000);
    if (second !== this.#dateSecond) {
      this.#dateSecond = second;
      this.#date = new Date(now).toUTCString();
    }
    return this.#date;
  }

  writeAccessLog(stream: Stream): void {
    const loggers = this.config.accessLog;
    if (loggers.length === 0) return;
    try {
      const entry = accessLogEntry(stream);
      for (const logger of loggers) {
        if (logger.accepts === null || logger.accepts(entry)) {
          this.environment.writeAccessLog(logger.path, logger.render(entry));
        }
      }
    } catch (error) {
      this.environment.loop.onBroken(error);
    }
  }
}
