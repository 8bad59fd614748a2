// Looks up the host that a TLS hello names, for the dynamic forward proxy behind it, and keeps the connection until its
// address is known. TLS passes on as it is. A connection without a server name passes, and finds no host.
import { FilterConfigSchema } from "#wire/gen/envoy/extensions/filters/network/sni_dynamic_forward_proxy/v3/sni_dynamic_forward_proxy_pb.ts";
import type { DnsCacheConfig } from "../../../config/dns-cache.ts";
import { noOutcome } from "../../../config/listener.ts";
import { parseDnsCache } from "../../../config/parse/dns-cache.ts";
import { type DynamicHost, dynamicHost } from "../../../decide/dynamic-host.ts";
import type { DnsCache, DnsWaiter, ResolvedHost } from "../../../upstream/dns/dns-cache.ts";
import type { NetworkConnection } from "../../connection.ts";
import {
  CONTINUE,
  defineNetworkFilter,
  type NetworkFilter,
  type NetworkFilterType,
  STOP,
  settingsFrom,
  type Verdict,
} from "../../filter.ts";

interface Settings {
  readonly cache: DnsCacheConfig;
  readonly port: number;
}

export const sniDynamicForwardProxy: NetworkFilterType = defineNetworkFilter<Settings>({
  type: "sni_dynamic_forward_proxy",
  messages: [
    settingsFrom(FilterConfigSchema, ({ dnsCacheConfig, portSpecifier }, { path, problems }) => {
      const port = portSpecifier.case === "portValue" ? portSpecifier.value : 443;
      if (port < 1 || port > 65_535) problems.invalid(`${path}.port_value`, `${port} is not a port`);
      const cache = parseDnsCache(dnsCacheConfig, `${path}.dns_cache_config`, problems);
      return cache === null ? null : { cache, port };
    }),
  ],
  readsServerName: () => true,
  decide:
    ({ cache, port }) =>
    ({ subject }) => {
      const host = dynamicHost(subject.requestedServerName, port);
      if (subject.requestedServerName === "") return noOutcome;
      return host === null
        ? { ...noOutcome, refusal: `"${subject.requestedServerName}" is no host` }
        : { ...noOutcome, dynamicHost: { key: host.key, cache: cache.name } };
    },
  configure: ({ cache, port }, { environment }) => {
    const dnsCache = environment.http.clusters.dnsCaches.get(cache);
    return { shared: null, create: () => new SniLookup(dnsCache, port) };
  },
});

class SniLookup implements NetworkFilter, DnsWaiter {
  readonly #cache: DnsCache;
  readonly #port: number;
  #connection: NetworkConnection | null = null;
  #host: DynamicHost | null = null;

  constructor(cache: DnsCache, port: number) {
    this.#cache = cache;
    this.#port = port;
  }

  onNewConnection(connection: NetworkConnection): Verdict {
    const { serverName } = connection.info;
    if (serverName === "") return CONTINUE;
    const host = dynamicHost(serverName, this.#port);
    if (host === null)
      return refuse(connection, "DF", "dns_resolution_failure{not_a_host}", `"${serverName}" is no host`);
    this.#connection = connection;
    this.#host = host;
    const { name, maxHosts, maxPendingRequests } = this.#cache.config;
    const loaded = this.#cache.load(host, this);
    switch (loaded) {
      case "loading":
        return STOP;
      case "too many hosts":
        return refuse(connection, "", "dns_cache_overflow", `the DNS cache ${name} has ${maxHosts} hosts already`);
      case "too many requests":
        return refuse(
          connection,
          "",
          "dynamic_forward_proxy_pending_request_overflow",
          `${maxPendingRequests} others wait for lookups of the DNS cache ${name}`,
        );
      default:
        return take(connection, loaded);
    }
  }

  onHostLoaded(host: ResolvedHost): void {
    const connection = this.#connection;
    if (connection !== null && take(connection, host) === CONTINUE) connection.continue();
  }

  onClose(): void {
    this.#connection = null;
    if (this.#host !== null) this.#cache.cancel(this.#host.key, this);
  }
}

function take(connection: NetworkConnection, host: ResolvedHost): Verdict {
  if (host.addresses.length > 0) {
    connection.dynamicHost = host.key;
    return CONTINUE;
  }
  const details = `dns_resolution_failure{${host.error.replaceAll(/\s/g, "_")}}`;
  return refuse(connection, "DF", details, `${host.host} can't be resolved: ${host.error}`);
}

function refuse(connection: NetworkConnection, flag: string, details: string, cause: string): Verdict {
  connection.refuse({ flag, details, cause });
  return STOP;
}
