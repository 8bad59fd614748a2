// One cluster at run time: its configuration, its endpoints, the balancer over them and the counters of its circuit
// breakers. Updates change it in place: pools of endpoints that stay are kept as long as their transport is the same.

import type { Logger } from "#base/log/log.ts";
import type { SocketCalls } from "#base/net/socket-calls.ts";
import type { ProcessCells } from "#base/threads/process-cells.ts";
import { type ClusterConfig, type EndpointSet, plainEndpointSet } from "../config/cluster.ts";
import type { RequestPriority } from "../config/http.ts";
import { http1, type ProtocolWish } from "../decide/upstream-protocol.ts";
import type { ConnectionInfo } from "../transport/connection-info.ts";
import type { EventLoop } from "../transport/event-loop.ts";
import type { TlsContexts } from "../transport/tls-contexts.ts";
import type { BalancerCounters } from "./balance/balancer.ts";
import type { ChoiceContext } from "./balance/choice.ts";
import { FAILED_ACTIVE_HC, FAILED_EDS_HEALTH, isUnhealthy } from "./balance/host.ts";
import type { LocalPeers } from "./balance/zone-routing.ts";
import { CircuitBreaker } from "./circuit-breaker.ts";
import { type ClusterCounters, clusterCounters } from "./cluster-counters.ts";
import { ClusterTransports } from "./cluster-transports.ts";
import type { ConnectTarget } from "./connect.ts";
import type { DnsCaches } from "./dns/dns-caches.ts";
import { DnsDiscovery } from "./dns/dns-discovery.ts";
import type { ResolveDns } from "./dns/resolve-dns.ts";
import { DynamicHosts } from "./dynamic-hosts.ts";
import type { UpstreamEndpoint } from "./endpoint.ts";
import { HealthChecker } from "./health/health-checker.ts";
import { makeProbe, type ProbeEnvironment, probeProtocol } from "./health/make-probe.ts";
import { HttpPool } from "./http-pool.ts";
import { Membership } from "./membership.ts";
import { OriginalDestinations } from "./original-destinations.ts";
import type { Ejection } from "./outlier/ejection.ts";
import { OutlierDetector } from "./outlier/outlier-detector.ts";
import { TcpTunnel } from "./tcp-tunnel.ts";

export interface ClusterEnvironment {
  readonly loop: EventLoop;
  readonly contexts: TlsContexts;
  readonly calls: SocketCalls;
  readonly resolve: ResolveDns;
  readonly dnsCaches: DnsCaches;
  readonly log: Logger;
  /** Counts of the whole process; null with one thread. */
  readonly cells: ProcessCells | null;
  /** Tells the other threads. */
  readonly onEjected: (ejected: EjectedEndpoint) => void;
  /** The hosts of a cluster changed in number, health or weight. */
  readonly onRebalanced: (cluster: string) => void;
  /** For zone aware routing; null: the proxy does not know its peers. */
  readonly peers: () => LocalPeers | null;
}

/** What one thread tells the others. */
export interface EjectedEndpoint {
  readonly cluster: string;
  /** Its key. */
  readonly endpoint: string;
  readonly ejection: Ejection;
}

export class Cluster {
  config: ClusterConfig;
  readonly loop: EventLoop;
  readonly counters: ClusterCounters = clusterCounters();
  readonly breakers: Readonly<Record<RequestPriority, CircuitBreaker>>;
  /** False until the first endpoints are known. A route must not name a cluster that is not warm. */
  isWarm = false;
  readonly #environment: ClusterEnvironment;
  readonly #members: Membership;
  /** Null where the cluster has no outlier detection. */
  #outliers: OutlierDetector | null = null;
  /** Null where endpoints are not asked for their health. */
  #checker: HealthChecker | null = null;
  /** Of an ORIGINAL_DST cluster; null for others. */
  readonly #originalDestinations: OriginalDestinations | null;
  /** Of a dynamic forward proxy; null for others. */
  #dynamicHosts: DynamicHosts | null = null;
  /** Made anew with the configuration. */
  #transports: ClusterTransports;
  #dns: DnsDiscovery | null = null;
  #cancelStale: (() => void) | null = null;
  #onWarm: (() => void)[] = [];

  constructor(config: ClusterConfig, environment: ClusterEnvironment) {
    this.config = config;
    this.loop = environment.loop;
    this.#environment = environment;
    this.#transports = new ClusterTransports(config, environment);
    const { circuitBreakers, loadBalancing } = config;
    const threads = { cells: environment.cells, clusterName: config.name };
    this.breakers = {
      default: new CircuitBreaker("default", circuitBreakers.default, this.counters, threads),
      high: new CircuitBreaker("high", circuitBreakers.high, this.counters, threads),
    };
    this.#members = new Membership({
      loop: environment.loop,
      config: loadBalancing,
      activeRequests: () => this.counters.activeRequests,
      keeps: (endpoint) => this.#mayStay(endpoint),
      onAdded: (endpoint) => this.#watch(endpoint),
      onRemoved: (endpoint) => this.#unwatch(endpoint),
      onRebalanced: () => environment.onRebalanced(config.name),
      peers: environment.peers,
    });
    this.#originalDestinations =
      loadBalancing.policy.type === "cluster_provided" && config.type === "original_dst"
        ? new OriginalDestinations(
            environment.loop,
            this.#members.counters,
            loadBalancing.policy.originalDst,
            config.cleanupIntervalMs,
          )
        : null;
    this.#configure(null);
  }

  /** Applies a new configuration in place. */
  update(config: ClusterConfig): void {
    const before = this.config;
    this.config = config;
    this.#configure(before);
  }

  #configure(before: ClusterConfig | null): void {
    const config = this.config;
    if (before !== null && connectionShape(before) !== connectionShape(config)) {
      // Connections made the old way may not carry new requests. Those in use finish.
      for (const endpoint of this.endpoints) endpoint.drainPools();
    }
    this.#transports = new ClusterTransports(config, this.#environment);
    this.#dns?.stop();
    this.#dns = null;
    const { policy } = config.loadBalancing;
    if (policy.type === "cluster_provided") {
      this.#originalDestinations?.configure(policy.originalDst, config.cleanupIntervalMs);
    }
    this.breakers.default.limits = config.circuitBreakers.default;
    this.breakers.high.limits = config.circuitBreakers.high;
    this.#configureOutliers(config);
    this.#configureChecks(before);
    this.#members.configure(config.loadBalancing);
    if (config.type === "static") this.setEndpoints(config.endpoints ?? plainEndpointSet(config.name, []));
    else if (config.type === "strict_dns" || config.type === "logical_dns") {
      this.#dns = this.#discoverByDns();
      this.#dns.start();
    } else if (config.type === "original_dst") this.#warm();
    else if (config.type === "dynamic_forward_proxy") {
      this.#forward();
      this.#warm();
    }
  }

  #watch(endpoint: UpstreamEndpoint): void {
    this.#outliers?.add(endpoint);
    this.#checker?.add(endpoint, true);
  }

  #unwatch(endpoint: UpstreamEndpoint): void {
    this.#outliers?.remove(endpoint);
    this.#checker?.remove(endpoint);
  }

  /** Goes by the cache that is configured now. */
  #forward(): void {
    const { forwardProxy } = this.config;
    if (forwardProxy === null) return;
    const cache = this.#environment.dnsCaches.get(forwardProxy.cache);
    if (this.#dynamicHosts?.cache === cache) return;
    this.#dynamicHosts?.drain();
    this.#dynamicHosts = new DynamicHosts(cache, {
      loop: this.loop,
      onAdded: (endpoint) => this.#watch(endpoint),
      onRemoved: (endpoint) => this.#unwatch(endpoint),
    });
  }

  #configureOutliers(config: ClusterConfig): void {
    const { outlierDetection } = config;
    // Where traffic goes to in an ORIGINAL_DST cluster is not chosen, so nothing can be taken out.
    if (outlierDetection === null || config.type === "original_dst") {
      this.#outliers?.stop();
      this.#outliers = null;
      return;
    }
    if (this.#outliers !== null) {
      this.#outliers.config = outlierDetection;
      return;
    }
    const outliers = new OutlierDetector({
      loop: this.loop,
      log: this.#environment.log,
      clusterName: config.name,
      config: outlierDetection,
      onChange: (endpoint) => this.#healthChanged(endpoint),
      onEjected: (endpoint, ejection) =>
        this.#environment.onEjected({ cluster: config.name, endpoint: endpoint.config.key, ejection }),
    });
    for (const endpoint of this.endpoints) outliers.add(endpoint);
    this.#outliers = outliers;
  }

  #configureChecks(before: ClusterConfig | null): void {
    const { config } = this;
    // Nobody lists the hosts of such clusters.
    const isListed = config.type !== "original_dst" && config.type !== "dynamic_forward_proxy";
    const check = isListed ? config.healthCheck : null;
    if (check === null) {
      if (this.#checker === null) return;
      this.#checker.stop(false);
      this.#checker = null;
      this.#members.rebalanceSoon();
      return;
    }
    const isSame =
      this.#checker?.config.shape === check.shape &&
      before !== null &&
      connectionShape(before) === connectionShape(config);
    if (isSame) return;
    this.#checker?.stop(true);
    const wish = probeProtocol(check);
    const environment: ProbeEnvironment = {
      loop: this.loop,
      clusterConfig: config,
      check,
      target: (endpoint) => this.#transports.checkTarget(endpoint.config, check, wish),
    };
    const checker = new HealthChecker({
      loop: this.loop,
      log: this.#environment.log,
      clusterName: config.name,
      config: check,
      hasTraffic: () => this.counters.connectionsTotal > 0,
      makeProbe: (endpoint) => makeProbe(endpoint, environment),
      onChange: (endpoint) => this.#healthChanged(endpoint),
      onPassed: (endpoint) => this.#outliers?.onHealthCheckPassed(endpoint),
      onAllAnswered: () => {
        // What the first answers said counts from the start.
        if (!this.isWarm) this.#members.flush();
        this.#warm();
      },
    });
    this.#checker = checker;
    for (const endpoint of this.endpoints) checker.add(endpoint, false);
  }

  #healthChanged(endpoint: UpstreamEndpoint): void {
    if (isUnhealthy(endpoint.healthFlags)) {
      this.#members.removeKept(endpoint);
      endpoint.closeConnections();
    }
    this.#members.rebalanceSoon();
  }

  /** Health checks are believed over discovery: an endpoint that passes them stays until it fails one. */
  #mayStay(endpoint: UpstreamEndpoint): boolean {
    if (endpoint.checks === null || this.config.ignoresHealthOnRemoval) return false;
    return (endpoint.healthFlags & (FAILED_ACTIVE_HC | FAILED_EDS_HEALTH)) === 0;
  }

  /** Null where endpoints are not asked for their health. */
  get checker(): HealthChecker | null {
    return this.#checker;
  }

  /** Null where the cluster has no outlier detection. */
  get outliers(): OutlierDetector | null {
    return this.#outliers;
  }

  /** Calls back when the first endpoints are known; at once if they are. */
  whenWarm(callback: () => void): void {
    if (this.isWarm) callback();
    else this.#onWarm.push(callback);
  }

  #warm(): void {
    if (this.isWarm) return;
    this.isWarm = true;
    const callbacks = this.#onWarm;
    this.#onWarm = [];
    for (const callback of callbacks) callback();
  }

  /** Replaces the endpoints. Those that stay keep pools and load; those that left finish what they carry. */
  setEndpoints(set: EndpointSet): void {
    this.#members.replace(set);
    this.#cancelStale?.();
    this.#cancelStale = null;
    const { staleAfterMs } = set.policy;
    if (staleAfterMs > 0) this.#cancelStale = this.loop.after(staleAfterMs, () => this.#endpointsAreStale());
    // With health checks the first answers are waited for.
    if (this.#checker?.isEveryoneAnswered !== false) this.#warm();
  }

  /** Nobody confirmed the endpoints in time. */
  #endpointsAreStale(): void {
    this.counters.staleAssignments++;
    this.#environment.log.warn(`cluster ${this.config.name}: the endpoints are out of date and not used any more`);
    this.setEndpoints(plainEndpointSet(this.config.name, []));
  }

  get endpoints(): readonly UpstreamEndpoint[] {
    return this.#originalDestinations?.endpoints ?? this.#dynamicHosts?.endpoints ?? this.#members.endpoints;
  }

  get balancerCounters(): BalancerCounters {
    return this.#members.counters;
  }

  get membershipChanges(): number {
    return this.#members.changes;
  }

  /** The proxy's peers are others now. */
  peersChanged(): void {
    this.#members.peersChanged();
  }

  /** Chooses an endpoint. Null: none can be used. */
  choose(context: ChoiceContext): UpstreamEndpoint | null {
    if (this.#originalDestinations !== null) return this.#originalDestinations.choose(context);
    if (this.#dynamicHosts !== null) return this.#dynamicHosts.choose(context);
    return this.#members.choose(context);
  }

  /** Draws whether the next request is dropped as the endpoints' policy asks: the category, or null. */
  drawDropOverload(): string | null {
    const { dropOverload } = this.#members.assignment.policy;
    if (dropOverload === null || this.loop.random() >= dropOverload.fraction) return null;
    this.counters.droppedForOverload++;
    return dropOverload.category;
  }

  /** Counts a response of an endpoint. */
  countStatus(status: number): void {
    const { counters } = this;
    counters.statuses ??= new Uint32Array(600);
    if (status < 600) counters.statuses[status]!++;
  }

  /** The pool for requests to that endpoint. `client`: whose they are, for clusters that are told by a PROXY header. */
  pool(
    endpoint: UpstreamEndpoint,
    wish: ProtocolWish,
    priority: RequestPriority = "default",
    client: ConnectionInfo | null = null,
  ): HttpPool {
    const wishKey = this.#transports.poolKey(endpoint.config, wish, client);
    const key = priority === "high" ? `high ${wishKey}` : wishKey;
    let pool = endpoint.pools.get(key);
    if (pool === undefined) {
      // Where each client has connections of its own, pools come and go with them.
      if (endpoint.pools.size >= poolsBeforeSweep) dropUnusedPools(endpoint);
      const breaker = this.breakers[priority];
      const isTooMany = this.#poolCount(breaker) >= breaker.limits.maxConnectionPools;
      pool = new HttpPool(this, endpoint, this.#transports.target(endpoint.config, wish, client), {
        protocol: wish.protocol,
        breaker,
        isTooMany,
      });
      // One that only refuses is not kept: there may be room next time.
      if (!isTooMany) endpoint.pools.set(key, pool);
    }
    return pool;
  }

  /** A TCP connection of its own to that endpoint, for a CONNECT that ends here. */
  tunnel(endpoint: UpstreamEndpoint, priority: RequestPriority, client: ConnectionInfo): TcpTunnel {
    const target = this.#transports.target(endpoint.config, http1, client);
    return new TcpTunnel(this, endpoint, this.breakers[priority], target);
  }

  /** Pools that are in use; those that are not make room. Only counted where there is a limit. */
  #poolCount(breaker: CircuitBreaker): number {
    if (breaker.limits.maxConnectionPools === Number.POSITIVE_INFINITY) return 0;
    let count = 0;
    for (const endpoint of this.endpoints) {
      for (const [key, pool] of endpoint.pools) {
        if (pool.breaker !== breaker) continue;
        if (pool.isUnused) endpoint.pools.delete(key);
        else count++;
      }
    }
    return count;
  }

  /** How to connect to that endpoint. */
  connectTarget(endpoint: UpstreamEndpoint, wish: ProtocolWish, client: ConnectionInfo | null): ConnectTarget {
    return this.#transports.target(endpoint.config, wish, client);
  }

  #discoverByDns(): DnsDiscovery {
    const { config, counters } = this;
    return new DnsDiscovery({
      loop: this.loop,
      log: this.#environment.log,
      resolve: this.#environment.resolve,
      clusterName: config.name,
      dns: config.dns,
      named: config.endpoints ?? plainEndpointSet(config.name, []),
      isLogical: config.type === "logical_dns",
      onEndpoints: (set) => this.setEndpoints(set),
      onAttempt: (isSuccess) => {
        counters.updateAttempts++;
        if (isSuccess) counters.updateSuccesses++;
        else counters.updateFailures++;
      },
    });
  }

  /** Lets what is in flight finish; nothing new is accepted through endpoints of this object. */
  drain(): void {
    this.#stopRefreshing();
    this.#outliers?.stop();
    this.#checker?.stop(false);
    this.#members.drain();
    this.#originalDestinations?.drain();
    this.#dynamicHosts?.drain();
  }

  destroy(): void {
    this.#stopRefreshing();
    this.#outliers?.stop();
    this.#checker?.stop(false);
    this.#members.destroy();
    this.#originalDestinations?.destroy();
    this.#dynamicHosts?.destroy();
  }

  #stopRefreshing(): void {
    this.#dns?.stop();
    this.#dns = null;
    this.#cancelStale?.();
    this.#cancelStale = null;
  }
}

/** From so many pools of an endpoint on, those that nobody uses make room for a new one. */
const poolsBeforeSweep = 64;

function dropUnusedPools(endpoint: UpstreamEndpoint): void {
  for (const [key, pool] of endpoint.pools) if (pool.isUnused) endpoint.pools.delete(key);
}

/** Two configurations with equal shapes make interchangeable connections. */
function connectionShape(config: ClusterConfig): string {
  const { type, transports, bindAddress, alpnOverride, upstreamProtocol, connectTimeoutMs, http2 } = config;
  const { keepalive, responseLimits, forwardProxy } = config;
  const options = config.socketOptions.map(({ description, value }) => `${description} ${value.toString("hex")}`);
  const tls = transports.map(({ name, match, tls }) =>
    tls === null ? { name, match } : { name, match, ...tls, sanMatchers: tls.sanMatchers.map((m) => m.description) },
  );
  const headers = transports.map(({ proxyProtocol }) => proxyProtocol?.version ?? 0);
  const forward = forwardProxy === null ? null : [forwardProxy.sendsHostName, forwardProxy.verifiesHostName];
  const rest = { forward, connectTimeoutMs, http2, responseLimits, tls, keepalive, options, headers };
  return JSON.stringify({ type, bindAddress, alpnOverride, upstreamProtocol, ...rest });
}
