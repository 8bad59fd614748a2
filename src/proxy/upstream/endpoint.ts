// HOT: per request. One upstream host while it lives: its present configuration, what is in flight, and counters for
// the admin API. The object survives configuration updates, so its pools and its load are kept.
import type { EndpointConfig } from "../config/cluster.ts";
import { type BalancedHost, withDiscoveredHealth } from "./balance/host.ts";
import type { HealthSession } from "./health/health-session.ts";
import type { HttpPool } from "./http-pool.ts";
import type { OutlierMonitor } from "./outlier/outlier-monitor.ts";

/** A connection as an endpoint sees it. */
interface Closable {
  destroy(): void;
}

export class UpstreamEndpoint implements BalancedHost {
  config: EndpointConfig;
  activeRequests = 0;
  activeConnections = 0;
  connectionsTotal = 0;
  connectFailures = 0;
  requestsTotal = 0;
  requestErrors = 0;
  requestTimeouts = 0;
  /** Set when the endpoint left the cluster; in-flight requests finish. */
  isRemoved = false;
  /** When an ORIGINAL_DST endpoint was last chosen. */
  lastUsed = 0;
  /** By transport, see `UpstreamTransport.key`. */
  readonly pools: Map<string, HttpPool> = new Map();
  /** Bits of `balance/host.ts`; 0 is healthy. */
  healthFlags: number;
  /** When it came or became healthy. */
  usableSince: number;
  /** Judges what its traffic shows; null where the cluster has no outlier detection. */
  outlier: OutlierMonitor | null = null;
  /** Asks it for its health; null where nobody does. */
  checks: HealthSession | null = null;

  /** Null where nothing ends with the endpoint's health. */
  #closable: Set<Closable> | null = null;

  constructor(config: EndpointConfig, now: number) {
    this.config = config;
    this.healthFlags = withDiscoveredHealth(0, config.health);
    this.usableSince = now;
  }

  /** Adds what ends when the endpoint is found unwell. */
  closeOnFailure(connection: Closable): void {
    this.#closable ??= new Set();
    this.#closable.add(connection);
  }

  /** The connection ended. */
  forget(connection: Closable): void {
    this.#closable?.delete(connection);
  }

  /** Ends the connections that were added. */
  closeConnections(): void {
    const connections = this.#closable;
    this.#closable = null;
    if (connections !== null) for (const connection of connections) connection.destroy();
  }

  /** Connections that exist carry no new request; others are made. */
  drainPools(): void {
    for (const pool of this.pools.values()) pool.drain();
    this.pools.clear();
  }

  drain(): void {
    this.isRemoved = true;
    for (const pool of this.pools.values()) pool.drain();
  }

  destroy(): void {
    this.isRemoved = true;
    for (const pool of this.pools.values()) pool.destroy();
    this.pools.clear();
  }
}
