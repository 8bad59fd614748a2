// One filter chain as configured, shared by all its connections: filters made from their settings. Made once per
// configuration object, so that a listener update that keeps a chain keeps what its filters count.
import type { FilterChainConfig } from "../config/listener.ts";
import type { HttpEnvironment } from "../http/environment.ts";
import type { NetworkEnvironment } from "./environment.ts";
import type { FilterContext, NetworkFilterFactory, Terminal } from "./filter.ts";

export interface ConfiguredChain {
  readonly config: FilterChainConfig;
  readonly environment: HttpEnvironment;
  /** Those with hooks, in order, without the terminal one. */
  readonly filters: readonly NetworkFilterFactory[];
  readonly terminal: Terminal;
}

export function configureChain(config: FilterChainConfig, environment: NetworkEnvironment): ConfiguredChain {
  const filters: NetworkFilterFactory[] = [];
  let terminal: Terminal | null = null;
  for (const { name, type, settings } of config.filters) {
    const context: FilterContext = { environment, name };
    const filter = environment.filterTypes.find((it) => it.type === type);
    terminal = filter?.terminal(settings, context) ?? null;
    const factory = terminal === null ? filter?.configure(settings, context) : null;
    if (factory != null) filters.push(factory);
  }
  return { config, environment: environment.http, filters, terminal: terminal ?? deadEnd };
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
