// HOT: per chunk. tcp_proxy: bytes between one client connection and one endpoint, each direction with its own end and
// its own back pressure, so that memory stays bounded and half-closed protocols work.
//
// States: choosing and connecting (little is read from the client, so that its end is seen), forwarding, over.

import { MutableHash64 } from "#base/hash/hash64.ts";
import { xxHash64 } from "#base/hash/xx-hash64.ts";
import { noteText } from "#wire/xds/provenance.ts";
import type { ClusterConfig, EndpointConfig } from "../../../config/cluster.ts";
import { type MetricRules, standardRules } from "../../../config/metric-rules.ts";
import { drawWeighted } from "../../../decide/route.ts";
import type { HttpEnvironment } from "../../../http/environment.ts";
import type { TcpFacts } from "../../../http/observer.ts";
import type { ConnectionInfo } from "../../../transport/connection-info.ts";
import type { SocketFailure } from "../../../transport/socket-error.ts";
import { Transport, type TransportUser } from "../../../transport/transport.ts";
import type { SecuredBy } from "../../../transport/upstream-tls.ts";
import type { NetworkConnection } from "../../connection.ts";
import { type ConnectionLogFacts, connectionLogEntry, writeConnectionLog } from "../../connection-log.ts";
import type { ServedConnection } from "../../filter.ts";
import { Connector, type ConnectorUser } from "./connector.ts";
import type { TcpProxySettings } from "./settings.ts";
import type { TcpProxyStats } from "./stats.ts";
import { tunnelRequest } from "./tunnel-settings.ts";
import type { UpstreamBytes } from "./upstream-bytes.ts";

/** Above this, what a client sends has to wait in the kernel until its connection stands. */
const maxHeldBytes = 16 * 1024;

export class TcpProxyConnection implements TransportUser, ConnectorUser, TcpFacts, ServedConnection {
  readonly connection: ConnectionInfo;
  clusterConfig: ClusterConfig | null = null;
  metricRules: MetricRules = standardRules;
  upstreamPeerUriSan: string | undefined = undefined;
  upstreamLocalUriSan: string | undefined = undefined;
  readonly #owner: NetworkConnection;
  readonly #environment: HttpEnvironment;
  readonly #settings: TcpProxySettings;
  readonly #stats: TcpProxyStats;
  readonly #downstream: Transport;
  #upstream: UpstreamBytes | null = null;
  #connector: Connector | null = null;
  /** What came before there was somewhere to write it. */
  #held: Buffer[] = [];
  #heldBytes = 0;
  #lastActivity: number;
  #lastProgress: number;
  #lastLogged: number;
  #reportedBytes = 0;
  #countedReceived = 0;
  #countedSent = 0;
  #upstreamLocalAddress: string | undefined = undefined;
  #securedBy: SecuredBy | undefined = undefined;
  #isReported = false;
  #isClientEnded = false;
  #isOver = false;

  constructor(owner: NetworkConnection, settings: TcpProxySettings, stats: TcpProxyStats) {
    this.#owner = owner;
    this.#environment = owner.environment;
    this.#settings = settings;
    this.#stats = stats;
    this.#downstream = owner.transport;
    this.connection = owner.info;
    this.#lastActivity = this.#downstream.loop.now;
    this.#lastProgress = this.#lastActivity;
    this.#lastLogged = this.#lastActivity;
  }

  get endpointConfig(): EndpointConfig | null {
    return this.#connector?.endpoint?.config ?? null;
  }

  get responseFlags(): string {
    return this.connection.responseFlags;
  }

  get receivedBytes(): number {
    return this.#downstream.bytesRead;
  }

  get sentBytes(): number {
    return this.#downstream.bytesWritten;
  }

  /** Chooses cluster and endpoint and connects. */
  start(): void {
    const { loop, clusters } = this.#environment;
    const settings = this.#settings;
    this.#stats.connections.add();
    this.#downstream.attach(this);
    loop.sweepAlways(this);
    const chosen = this.#owner.cluster;
    const weighted = chosen === null ? drawWeighted(settings.clusters, settings.totalWeight, loop.random()) : null;
    const name = chosen ?? weighted?.name ?? "";
    const cluster = clusters.get(name);
    if (cluster === undefined) {
      this.#stats.noRoute.add();
      this.#fail("NC", `the cluster "${name || "(none)"}" does not exist`);
      return;
    }
    this.clusterConfig = cluster.config;
    const connector = new Connector(cluster, this.connection, settings.maxConnectAttempts, this);
    if (weighted !== null) connector.metadataMatch = weighted.metadataMatch;
    if (settings.hashesSourceIp) {
      const hash = new MutableHash64();
      xxHash64(this.connection.sourceIp, 0, hash);
      connector.hash = hash;
    }
    connector.dynamicHost = this.#owner.dynamicHost;
    const { tunnel } = settings;
    if (tunnel !== null) {
      const entry = connectionLogEntry(this.connection, loop.now, this);
      connector.tunnelRequest = (isSecured) => tunnelRequest(tunnel, entry, isSecured);
    }
    this.#connector = connector;
    connector.connect();
  }

  onUpstreamConnected(upstream: UpstreamBytes, securedBy: SecuredBy, localAddress: string): void {
    this.#upstream = upstream;
    this.#securedBy = securedBy;
    this.upstreamPeerUriSan = securedBy.peerUriSan;
    this.upstreamLocalUriSan = securedBy.localUriSan;
    this.#upstreamLocalAddress = localAddress;
    this.#lastActivity = this.#downstream.loop.now;
    this.#reportOpened();
    if (this.#settings.logsOnConnect) this.#writeAccessLog("TcpUpstreamConnected");
    for (const data of this.#held) upstream.writeBytes(data);
    this.#held = [];
    upstream.attach(new UpstreamSide(this));
    if (upstream instanceof Transport) {
      upstream.lendReadsTo(this.#downstream);
      this.#downstream.lendReadsTo(upstream);
    }
    // It may end before there was anywhere to say so.
    if (this.#isClientEnded) upstream.end();
    this.#downstream.resume();
  }

  onUpstreamUnavailable(flag: string, cause: string): void {
    // Without a free connection nothing was tried, and there is nothing to report.
    if (flag !== "UO") this.#reportOpened();
    this.#fail(flag, `${cause}${noteText(this.#owner.config.provenance)}`);
  }

  onTransportData(data: Buffer): void {
    this.#lastActivity = this.#downstream.loop.now;
    if (this.#upstream === null) {
      this.#held.push(data);
      this.#heldBytes += data.length;
      if (this.#heldBytes >= maxHeldBytes) this.#downstream.pause();
      return;
    }
    if (!this.#upstream.writeBytes(data)) {
      this.#downstream.pause();
      this.#stats.pauses.add();
    }
  }

  onTransportEnd(): void {
    this.#isClientEnded = true;
    this.#upstream?.end();
    this.#endIfBothEnded();
  }

  onTransportDrain(): void {
    this.#upstream?.resume();
  }

  onTransportClose(failure: SocketFailure | null): void {
    if (this.#isOver) return;
    const upstream = this.#upstream;
    this.#finish(upstream !== null && !upstream.isEnded && failure !== null ? "DC" : "");
    if (upstream === null || upstream.isClosed) return;
    if (failure !== null) upstream.reset();
    else this.#flushUpstream(upstream);
  }

  /** The client is gone in peace: what it sent still reaches the endpoint. */
  #flushUpstream(upstream: UpstreamBytes): void {
    if (upstream.unsentBytes > 0) {
      const { upstreamFlushes, upstreamFlushesActive } = this.#stats;
      upstreamFlushes.add();
      upstreamFlushesActive.add(1);
      upstream.user = new UpstreamFlush(() => upstreamFlushesActive.add(-1));
    }
    upstream.closeGracefully();
  }

  /** The endpoint's side. */
  upstreamData(data: Buffer): void {
    this.#lastActivity = this.#downstream.loop.now;
    if (!this.#downstream.writeBytes(data)) this.#upstream?.pause();
  }

  upstreamEnd(): void {
    this.#downstream.end();
    this.#endIfBothEnded();
  }

  upstreamDrain(): void {
    this.#lastActivity = this.#downstream.loop.now;
    this.#downstream.resume();
    this.#stats.resumes.add();
  }

  upstreamClosed(failure: SocketFailure | null): void {
    if (this.#isOver) return;
    if (failure !== null) {
      this.connection.cause = `the connection to ${this.endpointConfig?.key} ended: ${failure.words}`;
      this.#finish("UC");
      this.#downstream.reset();
      return;
    }
    this.#finish("");
    this.#downstream.closeGracefully();
  }

  #endIfBothEnded(): void {
    if (this.#upstream === null || !this.#upstream.isEnded || !this.#downstream.isEnded) return;
    const upstream = this.#upstream;
    this.#finish("");
    upstream.closeGracefully();
    this.#downstream.closeGracefully();
  }

  #fail(flag: string, cause: string): void {
    const { log } = this.#environment;
    this.connection.cause = cause;
    log.debug(`closed ${this.connection.sourceAddress} → ${this.connection.destinationAddress}: ${cause}`);
    this.#finish(flag);
    this.#downstream.destroy();
  }

  /** Connections that find no endpoint count too: so blocked traffic is seen. */
  #reportOpened(): void {
    const rules = this.#owner.metricRules;
    if (rules === null) return;
    this.metricRules = rules;
    this.#isReported = true;
    this.#environment.observer.onTcpOpened(this);
  }

  #finish(flag: string): void {
    if (this.#isOver) return;
    this.#isOver = true;
    if (flag !== "") this.connection.responseFlags = flag;
    this.#downstream.loop.stopSweeping(this);
    this.#held = [];
    this.#connector?.release();
    this.#countBytes();
    if (this.#isReported) this.#environment.observer.onTcpClosed(this);
    this.#writeAccessLog("TcpConnectionEnd");
    this.#owner.closed();
  }

  #countBytes(): void {
    this.#stats.receivedBytes.add(this.receivedBytes - this.#countedReceived);
    this.#stats.sentBytes.add(this.sentBytes - this.#countedSent);
    this.#countedReceived = this.receivedBytes;
    this.#countedSent = this.sentBytes;
  }

  #writeAccessLog(type: ConnectionLogFacts["type"]): void {
    const { receivedBytes, sentBytes } = this;
    writeConnectionLog(this.#settings.accessLog, this.#environment, this.connection, {
      receivedBytes,
      sentBytes,
      upstreamHost: this.endpointConfig?.key,
      upstreamCluster: this.clusterConfig?.name,
      upstreamLocalAddress: this.#upstreamLocalAddress,
      upstreamFailureReason: this.#connector?.failureReason,
      securedBy: this.#securedBy,
      type,
    });
  }

  sweep(now: number): void {
    const { idleTimeoutMs, maxDurationMs, accessLogIntervalMs } = this.#settings;
    if (idleTimeoutMs > 0 && now - this.#lastActivity >= idleTimeoutMs) {
      this.#stats.idleTimeouts.add();
      this.#giveUp("", "tcp_session_idle_timeout", `no byte moved for ${idleTimeoutMs} ms`);
      return;
    }
    if (maxDurationMs > 0 && now - this.connection.startTimeMs >= maxDurationMs) {
      this.#stats.maxDurations.add();
      this.#giveUp("DT", "max_downstream_connection_duration_reached", `it is older than ${maxDurationMs} ms`);
      return;
    }
    if (accessLogIntervalMs > 0 && now - this.#lastLogged >= accessLogIntervalMs && this.#upstream !== null) {
      this.#lastLogged = now;
      this.#writeAccessLog("TcpPeriodic");
    }
    if (now - this.#lastProgress >= this.metricRules.tcpReportMs && this.#upstream !== null) this.#reportProgress(now);
  }

  #reportProgress(now: number): void {
    this.#lastProgress = now;
    this.#countBytes();
    const moved = this.receivedBytes + this.sentBytes;
    if (this.#isReported && moved !== this.#reportedBytes) this.#environment.observer.onTcpProgress(this);
    this.#reportedBytes = moved;
  }

  /** A timeout of this filter ends both sides at once. */
  #giveUp(flag: string, details: string, cause: string): void {
    const upstream = this.#upstream;
    this.connection.terminationDetails = details;
    this.connection.cause = cause;
    this.#finish(flag);
    upstream?.destroy();
    this.#downstream.destroy();
  }

  /** Closes both sides at once. */
  destroy(): void {
    this.#downstream.destroy();
  }

  /** A TCP stream has no place to say that it should end: it goes on until the drain deadline. */
  drain(): void {}
}

class UpstreamSide implements TransportUser {
  readonly #proxy: TcpProxyConnection;

  constructor(proxy: TcpProxyConnection) {
    this.#proxy = proxy;
  }

  onTransportData(data: Buffer): void {
    this.#proxy.upstreamData(data);
  }

  onTransportEnd(): void {
    this.#proxy.upstreamEnd();
  }

  onTransportDrain(): void {
    this.#proxy.upstreamDrain();
  }

  onTransportClose(failure: SocketFailure | null): void {
    this.#proxy.upstreamClosed(failure);
  }
}

/** An endpoint's connection that is only written to the end. */
class UpstreamFlush implements TransportUser {
  readonly #onDone: () => void;

  constructor(onDone: () => void) {
    this.#onDone = onDone;
  }

  onTransportData(): void {}

  onTransportEnd(): void {}

  onTransportDrain(): void {}

  onTransportClose(): void {
    this.#onDone();
  }
}
