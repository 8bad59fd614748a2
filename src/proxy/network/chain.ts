// One filter chain as configured, shared by all its connections: filters made from their settings. Made once per
// configuration object, so that a listener update that keeps a chain keeps what its filters count.
import { settledNetworkFilter } from "../config/extension.ts";
import type { FilterChainConfig, NetworkFilterConfig } from "../config/listener.ts";
import type { HttpEnvironment } from "../http/environment.ts";
import type { NetworkEnvironment } from "./environment.ts";
import { type NetworkFilterFactory, type NetworkFilterType, STOP, sharedFilter, type Terminal } from "./filter.ts";

export interface ConfiguredChain {
  readonly config: FilterChainConfig;
  readonly environment: HttpEnvironment;
  /** Those with hooks, in order, without the terminal one, with the settings that they have now. */
  readonly filters: readonly NetworkFilterFactory[];
  readonly terminal: Terminal;
}

export function configureChain(config: FilterChainConfig, environment: NetworkEnvironment): ConfiguredChain {
  const { http } = environment;
  const last = config.filters.at(-1);
  const typeOf = ({ type }: NetworkFilterConfig): NetworkFilterType | undefined =>
    environment.filterTypes.find((it) => it.type === type);
  const terminal = last && typeOf(last)?.terminal(last.settings, { environment, name: last.name });
  const links = new Map<NetworkFilterConfig, Link>();
  const settle = (): NetworkFilterFactory[] =>
    config.filters.flatMap((filter) => {
      if (terminal != null && filter === last) return [];
      const settled = settledNetworkFilter(filter, http.extensions);
      let link = links.get(filter);
      if (link === undefined || link.settled !== settled) {
        const factory =
          settled === null
            ? missingSettings(filter.name)
            : (typeOf(settled)?.configure(settled.settings, { environment, name: filter.name }) ?? null);
        link = { settled, factory };
        links.set(filter, link);
      }
      return link.factory ?? [];
    });
  const discovers = config.filters.some(({ discovery }) => discovery !== undefined);
  let filters = settle();
  let { version } = http.extensions;
  return {
    config,
    environment: http,
    terminal: terminal ?? deadEnd,
    get filters() {
      if (discovers && version !== http.extensions.version) {
        filters = settle();
        version = http.extensions.version;
      }
      return filters;
    },
  };
}

interface Link {
  /** Null while the filter has no settings. */
  readonly settled: NetworkFilterConfig | null;
  readonly factory: NetworkFilterFactory | null;
}

/** In place of a filter whose settings have not come: nobody knows whom it would have let pass. */
function missingSettings(name: string): NetworkFilterFactory {
  return sharedFilter({
    onNewConnection: (connection) => {
      const cause = `the settings of the filter ${name} have not come over ECDS`;
      connection.refuse({ flag: "", details: "filter_config_not_found", cause });
      return STOP;
    },
  });
}

/** The decoder refuses chains without a terminal filter. */
const deadEnd: Terminal = {
  serve: (connection) => {
    connection.refuse({ flag: "", details: "", cause: `filter chain ${connection.config.name} leads nowhere` });
    return { drain: () => {}, destroy: () => {} };
  },
};

/** Protocols that an HTTP chain speaks after TLS. */
const httpAlpn: readonly string[] = ["h2", "http/1.1", "http/1.0", "istio-http/1.1", "istio-http/1.0"];
const http1Alpn: readonly string[] = httpAlpn.filter((name) => name !== "h2");
/** What a TCP chain may agree to: names only, without an exchange of their own. */
const tcpAlpn: readonly string[] = ["http/1.1", "http/1.0", "istio"];

export function spokenAlpn(chain: FilterChainConfig): readonly string[] {
  const http = chain.filters.at(-1)?.http;
  if (http == null) return tcpAlpn;
  return http.codec === "http1" ? http1Alpn : httpAlpn;
}
