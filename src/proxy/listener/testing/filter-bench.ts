// For tests of filters: a data path whose chain holds filters that the test writes itself, or filters with their own
// settings, in front of one upstream.
import type { RequestListener } from "node:http";
import { fromJson, type JsonValue } from "@bufbuild/protobuf";
import { parse } from "yaml";
import { HttpConnectionManagerSchema } from "#wire/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts";
import { decodeHttpFilters } from "../../config/decode-http-filters.ts";
import {
  type HttpConnectionManagerConfig,
  type HttpFilterConfig,
  type RouteConfig,
  type RouteEntry,
  type RouteFilterConfig,
} from "../../config/http.ts";
import { nackText, Problems } from "../../config/problems.ts";
import { routeConfig as decodedRoutes } from "../../config/testing/resources.ts";
import { defineHttpFilter, type HttpFilter, type HttpFilterType } from "../../http/filter.ts";
import { httpFilterTypes } from "../../http/filters/all.ts";
import type { Stream } from "../../http/stream.ts";
import { Stats } from "../../stats/stats.ts";
import { anyRegistry } from "../../xds/any-registry.ts";
import {
  chain,
  clusterOn,
  dataPath,
  filterConfig,
  forward,
  httpFilter,
  httpServer,
  listenerConfig,
  managerConfig,
  routeEntry,
  type TestDataPath,
  weightedCluster,
} from "./data-path.ts";

/** Makes the filter object of one stream. */
type ScriptedFilter = (stream: Stream) => HttpFilter;

const scripted: HttpFilterType = defineHttpFilter<ScriptedFilter>({
  type: "scripted",
  messages: [],
  configure: (create) => ({ shared: null, create }),
});

/** A filter that the test writes itself. Routes address it by name. */
export function script(create: ScriptedFilter, overrides: Partial<HttpFilterConfig> = {}): HttpFilterConfig {
  return filterConfig("scripted", create, overrides);
}

/** A route to the cluster `app` with entries for filters, by their names in the chain. */
export function filteredRoute(
  prefix: string,
  entries: Readonly<Record<string, Partial<RouteFilterConfig>>>,
): RouteEntry {
  const filters = new Map(
    Object.entries(entries).map(([name, entry]): [string, RouteFilterConfig[]] => [
      name,
      [{ type: "", settings: null, disabled: false, ...entry }],
    ]),
  );
  const clusters = [{ ...weightedCluster("app", 1), filters }];
  return routeEntry(prefix, forward("app", { clusters }), { filters });
}

const router: JsonValue = {
  name: "router",
  typed_config: { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" },
};

function tableOf(virtualHost: string): RouteConfig {
  return decodedRoutes(
    JSON.stringify({ name: "test", virtual_hosts: [{ name: "all", domains: ["*"], ...parse(virtualHost) }] }),
  );
}

/** The filters of a chain, written as the YAML list `http_filters` without the router. */
function filtersOf(yaml: string): readonly HttpFilterConfig[] {
  const manager = fromJson(
    HttpConnectionManagerSchema,
    { http_filters: [...(parse(yaml) as JsonValue[]), router] },
    { registry: anyRegistry() },
  );
  const problems = new Problems("listener", "test");
  const decoded = problems.done(decodeHttpFilters(manager.httpFilters, new Map(), "http_filters", problems));
  if (decoded.value === null) throw new Error(nackText(decoded.issues));
  return decoded.value.slice(0, -1);
}

/** `filters` and `routes` are YAML as Envoy has it, or the shapes that it is decoded to. */
export interface FilterBenchOptions {
  readonly filters: string | readonly HttpFilterConfig[];
  /** Between those and the router. */
  readonly filtersBehind?: readonly HttpFilterConfig[];
  readonly upstream: RequestListener;
  /** The fields of one virtual host, or its routes. */
  readonly routes?: string | readonly RouteEntry[];
  readonly manager?: Partial<HttpConnectionManagerConfig>;
  readonly path?: Parameters<typeof dataPath>[0];
}

export interface FilterBench {
  readonly path: TestDataPath;
  /** A statistic by its whole name; undefined when there is none. */
  stat(name: string): number | undefined;
  stop(): void;
}

/** Serves one upstream, the cluster `app`, behind a chain of filters. */
export async function filterBench(options: FilterBenchOptions): Promise<FilterBench> {
  const { filters, routes = [routeEntry("/", forward("app"))] } = options;
  const config = managerConfig(typeof routes === "string" ? tableOf(routes) : routes, {
    ...options.manager,
    httpFilters: [
      ...(typeof filters === "string" ? filtersOf(filters) : filters),
      ...(options.filtersBehind ?? []),
      filterConfig("router", {}),
    ],
  });
  const server = await httpServer(options.upstream);
  const stats = new Stats();
  const path = dataPath({ filterTypes: [...httpFilterTypes, scripted], stats, ...options.path });
  path.clusters.update(clusterOn("app", [server.port]));
  await path.listeners.update(listenerConfig([chain([httpFilter(config)])]));
  const stop = (): void => {
    path.stop();
    server.stop();
  };
  return { path, stat: (name) => stats.values().find((it) => it.name === name)?.value, stop };
}
