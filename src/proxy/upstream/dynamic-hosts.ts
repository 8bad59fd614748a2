// HOT: per request. The endpoints of a dynamic forward proxy: one for each host that clients name, at the address that the
// DNS cache has for it. Each is made when it is first needed, and goes when the cache forgets its host.
import { type EndpointConfig, plainEndpoint } from "../config/cluster.ts";
import { formatAddress } from "../transport/connection-info.ts";
import type { EventLoop } from "../transport/event-loop.ts";
import type { ChoiceContext } from "./balance/choice.ts";
import { isUnhealthy } from "./balance/host.ts";
import type { DnsCache, ResolvedHost } from "./dns/dns-cache.ts";
import { UpstreamEndpoint } from "./endpoint.ts";

export interface DynamicHostsOptions {
  readonly loop: EventLoop;
  readonly onAdded: (endpoint: UpstreamEndpoint) => void;
  readonly onRemoved: (endpoint: UpstreamEndpoint) => void;
}

interface Known {
  readonly endpoint: UpstreamEndpoint;
  /** As they were when the endpoint's configuration was made. */
  addresses: readonly string[];
}

export class DynamicHosts {
  readonly cache: DnsCache;
  readonly #options: DynamicHostsOptions;
  readonly #byKey = new Map<string, Known>();
  readonly #forget: () => void;

  constructor(cache: DnsCache, options: DynamicHostsOptions) {
    this.cache = cache;
    this.#options = options;
    this.#forget = cache.onRemoved((key) => this.#remove(key));
  }

  get endpoints(): readonly UpstreamEndpoint[] {
    return [...this.#byKey.values()].map(({ endpoint }) => endpoint);
  }

  /** Null: no filter has looked the host up, it has no address, or its endpoint is ejected. */
  choose({ dynamicHost }: ChoiceContext): UpstreamEndpoint | null {
    const host = dynamicHost === null ? null : this.cache.get(dynamicHost);
    if (host === null || host.addresses.length === 0) return null;
    const known = this.#byKey.get(host.key);
    const endpoint = known === undefined ? this.#add(host) : this.#atItsAddress(known, host);
    return isUnhealthy(endpoint.healthFlags) ? null : endpoint;
  }

  #add(host: ResolvedHost): UpstreamEndpoint {
    const endpoint = new UpstreamEndpoint(endpointFor(host), this.#options.loop.now);
    this.#byKey.set(host.key, { endpoint, addresses: host.addresses });
    this.#options.onAdded(endpoint);
    return endpoint;
  }

  #atItsAddress(known: Known, host: ResolvedHost): UpstreamEndpoint {
    const { endpoint } = known;
    if (known.addresses === host.addresses) return endpoint;
    known.addresses = host.addresses;
    // Connections stay where they are as long as their address is still one of the host's.
    if (host.addresses.includes(endpoint.config.host)) return endpoint;
    endpoint.drainPools();
    endpoint.config = endpointFor(host);
    return endpoint;
  }

  #remove(key: string): void {
    const known = this.#byKey.get(key);
    if (known === undefined) return;
    this.#byKey.delete(key);
    known.endpoint.drain();
    this.#options.onRemoved(known.endpoint);
  }

  drain(): void {
    this.#forget();
    for (const { endpoint } of this.#byKey.values()) endpoint.drain();
  }

  destroy(): void {
    this.#forget();
    for (const { endpoint } of this.#byKey.values()) endpoint.destroy();
    this.#byKey.clear();
  }
}

function endpointFor({ host, port, addresses }: ResolvedHost): EndpointConfig {
  const [address = "", ...others] = addresses;
  return {
    ...plainEndpoint(formatAddress(address, port), address, port),
    additionalAddresses: others,
    hostname: host,
  };
}
