// For tests of filters: a data path whose chain holds filters that the test writes itself, or filters with their own
// settings, in front of one upstream.
import type { RequestListener } from "node:http";
import {
  type HttpConnectionManagerConfig,
  type HttpFilterConfig,
  noHeaderMutations,
  type RouteEntry,
  type RouteFilterConfig,
} from "../../config/http.ts";
import { defineHttpFilter, type HttpFilter, type HttpFilterType } from "../../http/filter.ts";
import { httpFilterTypes } from "../../http/filters/all.ts";
import type { Stream } from "../../http/stream.ts";
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
  const clusters = [{ name: "app", weight: 1, headers: noHeaderMutations, filters }];
  return routeEntry(prefix, forward("app", { clusters }), { filters });
}

export interface FilterBenchOptions {
  readonly filters: readonly HttpFilterConfig[];
  readonly upstream: RequestListener;
  readonly routes?: readonly RouteEntry[];
  readonly manager?: Partial<HttpConnectionManagerConfig>;
  readonly path?: Parameters<typeof dataPath>[0];
}

export interface FilterBench {
  readonly path: TestDataPath;
  stop(): void;
}

/** Serves one upstream, the cluster `app`, behind a chain of filters. */
export async function filterBench(options: FilterBenchOptions): Promise<FilterBench> {
  const server = await httpServer(options.upstream);
  const path = dataPath({ filterTypes: [...httpFilterTypes, scripted], ...options.path });
  path.clusters.update(clusterOn("app", [server.port]));
  const config = managerConfig(options.routes ?? [routeEntry("/", forward("app"))], {
    ...options.manager,
    httpFilters: [...options.filters, filterConfig("router", {})],
  });
  await path.listeners.update(listenerConfig([chain([httpFilter(config)])]));
  const stop = (): void => {
    path.stop();
    server.stop();
  };
  return { path, stop };
}
