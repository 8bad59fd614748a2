// One HTTP connection manager as configured, shared by all connections of its filter chain: filters made from their
// settings, the route configuration found, access logs written. Made once per configuration object.
import { DATE, SERVER, X_REQUEST_ID } from "#wire/http/header-names.ts";
import type { Headers } from "#wire/http/headers.ts";
import type { Http2Settings } from "#wire/http2/settings.ts";
import { settledHttpFilter } from "../config/extension.ts";
import type {
  HttpConnectionManagerConfig,
  HttpFilterConfig,
  RouteConfig,
  RouteEntry,
  RouteFilterConfigs,
} from "../config/http.ts";
import { filterConfigsOf, type RouteDecision } from "../decide/route.ts";
import { accessLogEntry } from "./access-log-entry.ts";
import { appended } from "./client-identity.ts";
import type { HttpEnvironment } from "./environment.ts";
import { DONE, type FilterContext, type HookLists, type HttpFilterFactory, hookLists, sharedFilter } from "./filter.ts";
import { suppressesEnvoyHeaders } from "./filters/router/filter.ts";
import { filterConfigMissing, type LocalReply } from "./local-replies.ts";
import { type MappedReply, mapLocalReply } from "./local-reply-mapping.ts";
import { writeEntry } from "./log-services.ts";
import { ManagerStats } from "./manager-stats.ts";
import { RouteStats } from "./route-stats.ts";
import type { Stream } from "./stream.ts";
import { ManagerTracing } from "./tracing/manager-tracing.ts";

export class HttpConnectionManager {
  readonly config: HttpConnectionManagerConfig;
  readonly environment: HttpEnvironment;
  /** For connections of strangers, and for those of other Outrigger proxies. */
  readonly http2Settings: Http2Settings;
  readonly meshHttp2Settings: Http2Settings;
  /** Whether istio.alpn is in the chain. */
  readonly overridesAlpn: boolean;
  /** The router's `suppress_envoy_headers`. */
  readonly suppressesEnvoyHeaders: boolean;
  /** Null: no spans are made. */
  readonly tracing: ManagerTracing | null;
  #chain: readonly ChainLink[] = [];
  #plain: FilterSet = filterSet([]);
  /** Sets for routes that switch filters on or off, by what the route says. */
  #byRoute = new WeakMap<RouteFilterConfigs, FilterSet>();
  /** Filters take their settings from ECDS, and have those of this version. */
  readonly #discovers: boolean;
  #extensionsVersion = 0;
  #stats: ManagerStats | null = null;
  readonly #routeStats = new WeakMap<RouteEntry, RouteStats>();
  #dateSecond = 0;
  #date = "";

  constructor(config: HttpConnectionManagerConfig, environment: HttpEnvironment) {
    this.config = config;
    this.environment = environment;
    this.http2Settings = serverSettings(config);
    this.meshHttp2Settings = { ...this.http2Settings, preserveHeaderCase: true };
    this.overridesAlpn = config.httpFilters.some((filter) => filter.type === "istio_alpn");
    this.suppressesEnvoyHeaders = config.httpFilters.some(suppressesEnvoyHeaders);
    this.#discovers = config.httpFilters.some(({ discovery }) => discovery !== undefined);
    const tracer = config.tracing?.tracer ?? environment.ownTracer;
    this.tracing =
      config.tracing === null || tracer === null
        ? null
        : new ManagerTracing(config.tracing, tracer, config.statPrefix, environment);
    this.#settle();
  }

  /** Makes the filters from the settings that they have now. Those whose settings stay are kept. */
  #settle(): void {
    const { config, environment } = this;
    this.#extensionsVersion = environment.extensions.version;
    const before = new Map(this.#chain.map((link) => [link.filter, link]));
    this.#chain = config.httpFilters.flatMap((filter): ChainLink[] => {
      const settled = settledHttpFilter(filter, environment.extensions);
      const known = before.get(filter);
      if (known !== undefined && known.settled === settled) return [known];
      const factory =
        settled === null ? missingSettings(filter.name) : configureFilter(settled, config.statPrefix, environment);
      return factory === null ? [] : [{ filter, settled, factory }];
    });
    this.#plain = filterSet(this.#chain.filter(({ filter }) => !filter.disabled));
    this.#byRoute = new WeakMap();
  }

  get stats(): ManagerStats {
    this.#stats ??= new ManagerStats(this.environment.stats, this.config.statPrefix);
    return this.#stats;
  }

  /** Of a route with a `stat_prefix`. */
  routeStats(decision: RouteDecision): RouteStats {
    let stats = this.#routeStats.get(decision.route);
    if (stats === undefined) {
      stats = new RouteStats(this.environment.stats, decision);
      this.#routeStats.set(decision.route, stats);
    }
    return stats;
  }

  /** The hooks for a stream whose route has this for filters. */
  hooks(stream: Stream, routeFilters: RouteFilterConfigs | null): HookLists {
    if (this.#discovers && this.#extensionsVersion !== this.environment.extensions.version) this.#settle();
    const set = routeFilters === null ? this.#plain : this.#setFor(routeFilters);
    return set.shared ?? hookLists(set.factories.map((factory) => factory.shared ?? factory.create(stream)));
  }

  #setFor(routeFilters: RouteFilterConfigs): FilterSet {
    let set = this.#byRoute.get(routeFilters);
    if (set === undefined) {
      const isOn = ({ filter }: ChainLink): boolean => {
        const own = routeFilters.get(filter.name)?.[0];
        return own === undefined ? !filter.disabled : !own.disabled;
      };
      const links = this.#chain.filter(isOn);
      set =
        links.length === this.#plain.factories.length &&
        links.every(({ factory }, i) => factory === this.#plain.factories[i])
          ? this.#plain
          : filterSet(links);
      this.#byRoute.set(routeFilters, set);
    }
    return set;
  }

  /** The route configuration as it is now; null while RDS has not delivered it. */
  routeConfig(): RouteConfig | null {
    const { routeConfig, routeConfigName } = this.config;
    if (routeConfig !== null) return routeConfig;
    return routeConfigName === null ? null : (this.environment.routes.get(routeConfigName) ?? null);
  }

  /** Sets what every response carries. */
  finishResponseHead(stream: Stream, headers: Headers): void {
    const { serverHeader, serverName, via, alwaysSetRequestIdInResponse } = this.config;
    if (serverHeader === "overwrite" || (serverHeader === "append_if_absent" && !headers.hasId(SERVER))) {
      headers.setId(SERVER, serverName);
    }
    if (!headers.hasId(DATE)) headers.addKnown(DATE, "date", this.#httpDate());
    if (via !== "") headers.set("via", appended(headers.get("via"), via));
    if (alwaysSetRequestIdInResponse) {
      const id = stream.headers.getId(X_REQUEST_ID);
      if (id !== undefined) headers.setId(X_REQUEST_ID, id);
    }
    if (stream.span !== null) this.tracing?.onResponseHead(stream, stream.span, headers);
  }

  /** A reply of the proxy's own as the configuration wants it; null where it says nothing. */
  mapReply(stream: Stream, reply: LocalReply): MappedReply | null {
    return this.config.localReply === null ? null : mapLocalReply(this.config.localReply, stream, reply);
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
      writeEntry(loggers, this.environment, accessLogEntry(stream));
    } catch (error) {
      this.environment.loop.onBroken(error);
    }
  }
}

/** What is configured for all versions of HTTP, as the HTTP/2 codec takes it. */
function serverSettings(config: HttpConnectionManagerConfig): Http2Settings {
  const { settings } = config.http2;
  const { limits } = settings;
  return {
    ...settings,
    limits: {
      ...limits,
      maxHeaderBytes: config.maxRequestHeadersBytes,
      maxHeaderCount: config.maxRequestHeadersCount,
      headTimeoutMs: config.requestHeadersTimeoutMs || limits.headTimeoutMs,
      stallTimeoutMs: config.streamIdleTimeoutMs || limits.stallTimeoutMs,
      drainTimeoutMs: config.drainTimeoutMs,
    },
  };
}

interface ChainLink {
  readonly filter: HttpFilterConfig;
  /** The filter with its settings; null while it has none. */
  readonly settled: HttpFilterConfig | null;
  readonly factory: HttpFilterFactory;
}

interface FilterSet {
  readonly factories: readonly HttpFilterFactory[];
  /** The lists for all streams, when no filter keeps state of a stream. */
  readonly shared: HookLists | null;
}

function filterSet(links: readonly ChainLink[]): FilterSet {
  const factories = links.map(({ factory }) => factory);
  const shared = factories.flatMap((factory) => factory.shared ?? []);
  return { factories, shared: shared.length === factories.length ? hookLists(shared) : null };
}

/** In place of a filter whose settings have not come: nobody knows whom it would have let pass. */
function missingSettings(name: string): HttpFilterFactory {
  return sharedFilter({
    onRequestHeaders: (stream) => {
      stream.sendLocalReply(filterConfigMissing, `the settings of the filter ${name} have not come over ECDS`, []);
      return DONE;
    },
  });
}

/** Makes a filter from its settings; null for the router and for types without a hook. */
function configureFilter(
  { name, type, settings }: HttpFilterConfig,
  statPrefix: string,
  environment: HttpEnvironment,
): HttpFilterFactory | null {
  const all = (stream: Stream): unknown[] => {
    const entries = filterConfigsOf(stream.decision)?.get(name) ?? [];
    return entries.filter((entry) => entry.type === type).map((entry) => entry.settings);
  };
  const first = (stream: Stream): unknown => {
    const entry = filterConfigsOf(stream.decision)?.get(name)?.[0];
    return entry !== undefined && entry.type === type ? entry.settings : null;
  };
  const context: FilterContext<unknown> = {
    environment,
    name,
    statPrefix: `http.${statPrefix}.`,
    routeSettings: first,
    allRouteSettings: all,
  };
  return environment.filterTypes.find((it) => it.type === type)?.configure(settings, context) ?? null;
}
