// HOT: per request. The connections to one endpoint with one transport. HTTP/1 connections carry one exchange at a time
// and wait idle between two; HTTP/2 connections carry many. Which of the two a new connection speaks is fixed by the
// cluster or said by ALPN. Circuit breakers of the cluster bound connections and waiting requests.
import type { ClusterConfig } from "../config/cluster.ts";
import type { ProtocolWish } from "../decide/upstream-protocol.ts";
import { type CodecCounters, codecCounters } from "../stats/codec-stats.ts";
import type { EventLoop } from "../transport/event-loop.ts";
import { FailureKind, type SocketFailure } from "../transport/socket-error.ts";
import type { Transport } from "../transport/transport.ts";
import type { SecuredBy } from "../transport/upstream-tls.ts";
import type { CircuitBreaker } from "./circuit-breaker.ts";
import { type ClusterCounters, recordTime } from "./cluster-counters.ts";
import { type ConnectTarget, type ConnectUser, PendingConnection } from "./connect.ts";
import type { UpstreamEndpoint } from "./endpoint.ts";
import { RESET_CLUSTER_GONE, RESET_CONNECT_FAILURE, RESET_OVERFLOW, type UpstreamExchange } from "./exchange.ts";
import { UpstreamHttp1Connection } from "./http1-connection.ts";
import { UpstreamHttp2Connection } from "./http2-connection.ts";

export interface PoolWaiter {
  onPoolReady(exchange: UpstreamExchange): void;
  onPoolFailed(reason: number, failure: SocketFailure): void;
}

/** The cluster as a pool sees it; health checks have pools of their own. */
export interface PoolOwner {
  readonly loop: EventLoop;
  readonly config: ClusterConfig;
  readonly counters: ClusterCounters;
}

/** Where exchanges come from. */
export interface ExchangeSource {
  /** Gives an exchange to the waiter, at once or later, or tells why not. */
  acquire(waiter: PoolWaiter): void;
  /** The waiter does not want it any more. */
  cancel(waiter: PoolWaiter): void;
}

export interface HttpPoolOptions {
  readonly protocol: ProtocolWish["protocol"];
  readonly breaker: CircuitBreaker;
  /** The cluster has as many pools as it may: everything is refused. */
  readonly isTooMany: boolean;
}

export class HttpPool implements ExchangeSource {
  readonly endpoint: UpstreamEndpoint;
  readonly breaker: CircuitBreaker;
  /** The cluster has as many pools as it may: everything is refused. */
  readonly #isTooMany: boolean;
  readonly #cluster: PoolOwner;
  readonly #loop: EventLoop;
  readonly #target: ConnectTarget;
  readonly #protocol: ProtocolWish["protocol"];
  #idle: UpstreamHttp1Connection[] = [];
  readonly #all = new Set<UpstreamHttp1Connection>();
  /** HTTP/2 connections that may take another exchange, now or later. */
  readonly #open: UpstreamHttp2Connection[] = [];
  /** All HTTP/2 connections. */
  readonly #multiplexed = new Set<UpstreamHttp2Connection>();
  /** Whether the next connection will carry many exchanges; until one was made, ALPN is hoped to say so. */
  #expectsMany: boolean;
  /** Streams that the server bears at a time, as far as it has told. */
  #knownPeerStreams: number = Number.POSITIVE_INFINITY;
  readonly #connecting = new Set<PendingConnection>();
  #waiting: PoolWaiter[] = [];
  #isDraining = false;
  #isSwept = false;

  constructor(cluster: PoolOwner, endpoint: UpstreamEndpoint, target: ConnectTarget, options: HttpPoolOptions) {
    const { breaker, isTooMany, protocol } = options;
    this.#cluster = cluster;
    this.breaker = breaker;
    this.#isTooMany = isTooMany;
    this.endpoint = endpoint;
    this.#loop = cluster.loop;
    this.#target = target;
    this.#protocol = protocol;
    this.#expectsMany = protocol === "http2" || (protocol === "alpn" && target.tls !== null);
  }

  get isUnused(): boolean {
    return this.#all.size + this.#multiplexed.size === 0 && this.#connecting.size === 0 && this.#waiting.length === 0;
  }

  /** Gives an exchange to the waiter: at once, or when there is one, or tells why not. */
  acquire(waiter: PoolWaiter): void {
    const open = this.#open;
    let crowded: UpstreamHttp2Connection | null = null;
    for (let i = 0; i < open.length; i++) {
      const connection = open[i]!;
      if (!connection.canOpen) continue;
      if (!connection.isCrowded) {
        waiter.onPoolReady(this.#openOn(connection));
        return;
      }
      crowded = connection;
    }
    for (let connection = this.#idle.pop(); connection !== undefined; connection = this.#idle.pop()) {
      if (connection.isUsable) {
        waiter.onPoolReady(connection);
        return;
      }
    }
    if (crowded !== null && !this.#mayConnect()) {
      waiter.onPoolReady(this.#openOn(crowded));
      return;
    }
    const refusal = this.#isTooMany ? this.#refusePool() : this.breaker.takePendingRequest();
    if (refusal !== null) {
      waiter.onPoolFailed(RESET_OVERFLOW, refusal);
      return;
    }
    this.#waiting.push(waiter);
    this.#connectForWaiting();
  }

  #refusePool(): SocketFailure {
    this.#cluster.counters.poolOverflows++;
    return this.breaker.overflow("max_connection_pools", this.breaker.limits.maxConnectionPools);
  }

  /** Takes a waiter out of the queue. */
  cancel(waiter: PoolWaiter): void {
    const at = this.#waiting.indexOf(waiter);
    if (at < 0) return;
    this.#waiting.splice(at, 1);
    this.breaker.givePendingRequest();
  }

  #connectForWaiting(): void {
    while (this.#connecting.size < this.#waiting.length) {
      // What waits shares the one that is coming.
      if (this.#expectsMany && this.#connecting.size > 0) return;
      if (!this.#mayConnect()) return;
      this.#connect();
    }
  }

  #mayConnect(): boolean {
    // A pool without any connection may always open one, or its queue would never move.
    const isFirst = this.#all.size + this.#multiplexed.size + this.#connecting.size === 0;
    return isFirst || this.breaker.refuseConnection(this.endpoint.activeConnections) === null;
  }

  #connect(): void {
    this.breaker.takeConnection();
    this.endpoint.activeConnections++;
    this.endpoint.connectionsTotal++;
    const beganMs = this.#loop.now;
    const attempt: ConnectUser = {
      onConnected: (transport, securedBy) => {
        this.#connecting.delete(pending);
        recordTime(this.#cluster.counters, "connects", beganMs, this.#loop.now);
        this.#connected(transport, securedBy);
      },
      onConnectFailed: (failure) => {
        this.#connecting.delete(pending);
        this.#connectFailed(failure);
      },
    };
    const pending = new PendingConnection(this.#loop, this.#target, attempt);
    this.#connecting.add(pending);
  }

  /** What the codecs of all the cluster's connections count. */
  get codecs(): CodecCounters {
    this.#cluster.counters.codecs ??= codecCounters();
    return this.#cluster.counters.codecs;
  }

  #connected(transport: Transport, securedBy: SecuredBy): void {
    this.#expectsMany = this.#protocol === "http2" || (this.#protocol === "alpn" && speaksHttp2(securedBy));
    if (this.#expectsMany) {
      this.#connectedHttp2(transport, securedBy);
      return;
    }
    const connection = new UpstreamHttp1Connection(this, transport, securedBy, this.#cluster.config.responseLimits);
    this.#all.add(connection);
    transport.attach(connection);
    this.#offer(connection);
  }

  #connectedHttp2(transport: Transport, securedBy: SecuredBy): void {
    const { settings, keepalive } = this.#cluster.config.http2;
    const own = {
      ...settings,
      // Only another Outrigger proxy picks this name in this pool: see decide/upstream-protocol.ts.
      preserveHeaderCase: this.#protocol === "alpn" && securedBy.negotiatedAlpn === "istio-h2",
      initialPeerStreams: Math.min(settings.initialPeerStreams, this.#knownPeerStreams),
    };
    const connection = new UpstreamHttp2Connection(this, transport, securedBy, own, keepalive);
    this.#multiplexed.add(connection);
    this.#open.push(connection);
    transport.attach(connection);
    this.#sweepSoon();
    if (this.#isDraining && this.#waiting.length === 0) connection.drain();
    this.multiplexedReleased(connection);
    // An HTTP/1 peer was not expected: those that wait get connections of their own.
    if (this.#waiting.length > 0) this.#connectForWaiting();
  }

  /** The server of a connection said how many streams it bears: most likely the next connection leads to the same. */
  multiplexedSettled(connection: UpstreamHttp2Connection, peerStreams: number): void {
    this.#knownPeerStreams = Math.max(1, peerStreams);
    this.multiplexedReleased(connection);
  }

  /** Begins an exchange. The last one that the connection may carry takes it out of the choice. */
  #openOn(connection: UpstreamHttp2Connection): UpstreamExchange {
    const exchange = connection.open();
    const limit = this.#cluster.config.maxRequestsPerConnection;
    if (limit > 0 && connection.exchanges >= limit) this.#retire(connection);
    return exchange;
  }

  /** The connection may take another exchange, or has taken its last one. */
  multiplexedReleased(connection: UpstreamHttp2Connection): void {
    if (connection.isFinished || this.#isTooOld(connection)) this.multiplexedFinished(connection);
    const open = this.#open;
    while (this.#waiting.length > 0 && connection.canOpen && open.includes(connection)) {
      this.#next()!.onPoolReady(this.#openOn(connection));
    }
    if (!connection.isIdle) return;
    if (this.#isDraining || !this.#open.includes(connection)) {
      connection.close();
      return;
    }
    const idleMs = this.#cluster.config.idleTimeoutMs;
    connection.idleDeadline = idleMs > 0 ? this.#loop.now + idleMs : Number.POSITIVE_INFINITY;
  }

  #isTooOld(connection: UpstreamHttp2Connection | UpstreamHttp1Connection): boolean {
    const limitMs = this.#cluster.config.maxConnectionDurationMs;
    return limitMs > 0 && connection.isOlderThan(limitMs);
  }

  #retire(connection: UpstreamHttp2Connection): void {
    const at = this.#open.indexOf(connection);
    if (at >= 0) this.#open.splice(at, 1);
  }

  /** The connection takes no new exchanges; those that run go on. */
  multiplexedFinished(connection: UpstreamHttp2Connection): void {
    this.#retire(connection);
    if (this.#waiting.length > 0) this.#connectForWaiting();
  }

  multiplexedClosed(connection: UpstreamHttp2Connection): void {
    if (!this.#multiplexed.delete(connection)) return;
    recordTime(this.#cluster.counters, "connections", connection.startTime, this.#loop.now);
    this.#connectionGone();
    this.multiplexedFinished(connection);
  }

  #connectFailed(failure: SocketFailure): void {
    this.#connectionGone();
    this.endpoint.connectFailures++;
    this.#cluster.counters.connectFailures++;
    if (failure.kind === FailureKind.Timeout) this.#cluster.counters.connectTimeouts++;
    const waiter = this.#next();
    waiter?.onPoolFailed(RESET_CONNECT_FAILURE, failure);
    this.#connectForWaiting();
  }

  #connectionGone(): void {
    this.breaker.giveConnection();
    this.endpoint.activeConnections--;
  }

  #next(): PoolWaiter | undefined {
    const waiter = this.#waiting.shift();
    if (waiter !== undefined) this.breaker.givePendingRequest();
    return waiter;
  }

  #offer(connection: UpstreamHttp1Connection): void {
    const waiter = this.#next();
    if (waiter !== undefined) {
      waiter.onPoolReady(connection);
      return;
    }
    if (this.#isDraining) {
      connection.close();
      return;
    }
    const idleMs = this.#cluster.config.idleTimeoutMs;
    const serverMs = connection.serverIdleMs;
    const limit = serverMs > 0 && (idleMs === 0 || serverMs < idleMs) ? serverMs : idleMs;
    connection.idleDeadline = limit > 0 ? this.#loop.now + limit : Number.POSITIVE_INFINITY;
    this.#idle.push(connection);
    this.#sweepSoon();
  }

  #sweepSoon(): void {
    if (this.#isSwept) return;
    this.#isSwept = true;
    this.#loop.sweepAlways(this);
  }

  /** An exchange is over and the connection can carry another one. */
  released(connection: UpstreamHttp1Connection): void {
    const limit = this.#cluster.config.maxRequestsPerConnection;
    if ((limit > 0 && connection.requestsBefore >= limit) || this.#isTooOld(connection)) {
      connection.close();
      return;
    }
    this.#offer(connection);
  }

  /** The connection will not be used again. */
  closed(connection: UpstreamHttp1Connection): void {
    if (!this.#all.delete(connection)) return;
    recordTime(this.#cluster.counters, "connections", connection.startTime, this.#loop.now);
    this.#connectionGone();
    const at = this.#idle.indexOf(connection);
    if (at >= 0) this.#idle.splice(at, 1);
    if (this.#waiting.length > 0) this.#connectForWaiting();
  }

  sweep(now: number): void {
    // Oldest first in the list, because the newest are taken first.
    while (this.#idle.length > 0 && now >= this.#idle[0]!.idleDeadline) this.#idle[0]!.close();
    if (this.#cluster.config.maxConnectionDurationMs > 0) this.#sweepOld();
    for (const connection of this.#multiplexed) {
      if (connection.isIdle && now >= connection.idleDeadline) connection.close();
      else connection.sweep(now);
    }
    if (this.#all.size + this.#multiplexed.size === 0) {
      this.#isSwept = false;
      this.#loop.stopSweeping(this);
    }
  }

  /** What is idle and as old as it may get is closed; what is in use takes nothing new. */
  #sweepOld(): void {
    for (const connection of this.#idle.filter((it) => this.#isTooOld(it))) connection.close();
    for (const connection of this.#multiplexed) {
      if (this.#isTooOld(connection)) this.multiplexedReleased(connection);
    }
  }

  /** Closes what is idle; what is in use is closed when its exchange is over. */
  drain(): void {
    this.#isDraining = true;
    for (let idle = this.#idle.pop(); idle !== undefined; idle = this.#idle.pop()) idle.close();
    this.#open.length = 0;
    for (const connection of this.#multiplexed) connection.drain();
  }

  /** Closes everything. */
  destroy(): void {
    this.#isDraining = true;
    for (const pending of this.#connecting) {
      pending.cancel();
      this.#connectionGone();
    }
    this.#connecting.clear();
    for (let waiter = this.#next(); waiter !== undefined; waiter = this.#next()) {
      waiter.onPoolFailed(RESET_CLUSTER_GONE, clusterGone);
    }
    for (const connection of this.#all) connection.transport.destroy();
    for (const connection of this.#multiplexed) connection.transport.destroy();
    this.#loop.stopSweeping(this);
  }
}

function speaksHttp2({ negotiatedAlpn }: SecuredBy): boolean {
  return negotiatedAlpn === "h2" || negotiatedAlpn === "istio-h2";
}

const clusterGone: SocketFailure = {
  kind: FailureKind.Local,
  code: "CLUSTER_GONE",
  transportReason: "",
  words: "the cluster was removed while the request waited for a connection",
};
