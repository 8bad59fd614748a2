// Runtime shape of dynamic forward proxies: clusters whose hosts are what requests and hellos name, and the cache of
// names that such a cluster shares with the filters that look them up.
import type { DnsConfig } from "./cluster.ts";

export interface DnsCacheConfig {
  /** Clusters and filters with equal names share a cache. */
  readonly name: string;
  readonly family: DnsConfig["family"];
  /** Between lookups of a name whose records say nothing. */
  readonly refreshMs: number;
  /** The shortest time between lookups, whatever the records say. */
  readonly minRefreshMs: number;
  /** After a failed lookup; null: as after a successful one. */
  readonly failureRefresh: DnsConfig["failureRefresh"];
  /** A host that nobody asked for so long is forgotten. */
  readonly hostTtlMs: number;
  readonly maxHosts: number;
  /** Requests that wait for a lookup at once. */
  readonly maxPendingRequests: number;
  /** 0: as long as the resolver takes. */
  readonly queryTimeoutMs: number;
}

export interface ForwardProxyConfig {
  readonly cache: DnsCacheConfig;
  /** SNI is the host's name. */
  readonly sendsHostName: boolean;
  /** The certificate must be for the host's name. */
  readonly verifiesHostName: boolean;
}
