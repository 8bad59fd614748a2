// HOT: per chunk. tcp_proxy: bytes between one client connection and one endpoint, each direction with its own end and
// its own back pressure, so that memory stays bounded and half-closed protocols work.
import type { AccessLogEntry } from "../config/access-log.ts";
import type { ClusterConfig, EndpointConfig } from "../config/cluster.ts";
import type { TcpProxyConfig } from "../config/listener.ts";
import { drawWeighted } from "../decide/route.ts";
import type { HttpEnvironment } from "../http/environment.ts";
import type { TcpFacts } from "../http/observer.ts";
import { type ConnectionInfo, formatAddress, plainIp } from "../transport/connection-info.ts";
import { FailureKind, type SocketFailure } from "../transport/socket-error.ts";
import type { Transport, TransportUser } from "../transport/transport.ts";
import type { SecuredBy } from "../transport/upstream-tls.ts";
import { anyHost } from "../upstream/balance/choice.ts";
import { type Cluster, noAlpnOverride } from "../upstream/cluster.ts";
import { type ConnectUser, PendingConnection } from "../upstream/connect.ts";
import type { UpstreamEndpoint } from "../upstream/endpoint.ts";
import { whyNoEndpoint } from "../upstream/why-no-endpoint.ts";
import type { ConnectionRefusal } from "./rbac.ts";

/** How often bytes of a long connection are reported (Istio's reporting interval). */
const progressMs = 5000;

export interface TcpProxyOptions {
  readonly config: TcpProxyConfig;
  readonly environment: HttpEnvironment;
  /** Whether istio.stats is in the chain. */
  readonly hasStats: boolean;
  readonly onClosed: (connection: TcpProxyConnection) => void;
}

export class TcpProxyConnection implements TransportUser, ConnectUser, TcpFacts {
  readonly connection: ConnectionInfo;
  clusterConfig: ClusterConfig | null = null;
  endpointConfig: EndpointConfig | null = null;
  responseFlags = "";
  upstreamPeerUriSan: string | undefined = undefined;
  upstreamLocalUriSan: string | undefined = undefined;
  readonly #options: TcpProxyOptions;
  readonly #downstream: Transport;
  #upstream: Transport | null = null;
  #pending: PendingConnection | null = null;
  #cluster: Cluster | null = null;
  #endpoint: UpstreamEndpoint | null = null;
  #held: Buffer[] = [];
  #lastActivity: number;
  #lastProgress: number;
  #reportedBytes = 0;
  #terminationDetails: string | undefined = undefined;
  #failureReason: string | undefined = undefined;
  #upstreamLocalAddress: string | undefined = undefined;
  #cause = "";
  #isReported = false;
  #isOver = false;

  constructor(downstream: Transport, info: ConnectionInfo, options: TcpProxyOptions) {
    this.#downstream = downstream;
    this.connection = info;
    this.#options = options;
    this.#lastActivity = downstream.loop.now;
    this.#lastProgress = this.#lastActivity;
  }

  get receivedBytes(): number {
    return this.#downstream.bytesRead;
  }

  get sentBytes(): number {
    return this.#downstream.bytesWritten;
  }

  /** Chooses cluster and endpoint and connects. The client is read once there is somewhere to write. */
  start(): void {
    const { config, environment } = this.#options;
    const { loop } = environment;
    this.#downstream.attach(this);
    this.#downstream.pause();
    loop.sweepAlways(this);
    const weighted = drawWeighted(config.clusters, config.totalWeight, loop.random());
    const cluster = weighted === null ? undefined : environment.clusters.get(weighted.name);
    if (cluster === undefined) {
      this.#fail("NC", `the cluster "${weighted?.name ?? "(none)"}" does not exist`);
      return;
    }
    this.#cluster = cluster;
    this.clusterConfig = cluster.config;
    const { counters, config: clusterConfig } = cluster;
    if (counters.connections >= clusterConfig.thresholds.maxConnections) {
      counters.connectionOverflows++;
      this.#fail("UO", `the circuit breaker's max_connections of ${clusterConfig.name} is reached`);
      return;
    }
    this.#connect(cluster);
  }

  #connect(cluster: Cluster): void {
    const info = this.connection;
    const isLoop = cluster.config.type === "original_dst" && info.isOwnAddress;
    const destination = isLoop ? null : { ip: info.destinationIp, port: info.destinationPort };
    const endpoint = cluster.choose({ ...anyHost, destination });
    if (endpoint === null) {
      this.#reportOpened();
      this.#fail("UH", whyNoEndpoint(cluster, info));
      return;
    }
    this.#endpoint = endpoint;
    this.endpointConfig = endpoint.config;
    endpoint.activeConnections++;
    endpoint.connectionsTotal++;
    cluster.counters.connections++;
    cluster.counters.connectionsTotal++;
    const target = cluster.connectTarget(endpoint, noAlpnOverride);
    this.#pending = new PendingConnection(this.#downstream.loop, target, this);
  }

  onConnected(transport: Transport, securedBy: SecuredBy): void {
    this.#pending = null;
    this.#upstream = transport;
    this.#endpoint?.outlier?.onTcpConnected();
    this.upstreamPeerUriSan = securedBy.peerUriSan;
    this.upstreamLocalUriSan = securedBy.localUriSan;
    this.#upstreamLocalAddress = formatAddress(plainIp(transport.socket.localAddress), transport.socket.localPort ?? 0);
    this.#reportOpened();
    for (const data of this.#held) transport.writeBytes(data);
    this.#held = [];
    transport.attach(new UpstreamSide(this));
    this.#downstream.resume();
  }

  onConnectFailed(failure: SocketFailure): void {
    this.#pending = null;
    const endpoint = this.#endpoint!;
    endpoint.connectFailures++;
    endpoint.outlier?.onLocalFailure(failure.kind === FailureKind.Timeout);
    this.#cluster!.counters.connectFailures++;
    if (failure.transportReason !== "") this.#failureReason = failure.transportReason;
    this.#reportOpened();
    this.#fail("UF,URX", `${endpoint.config.key}: ${failure.words}`);
  }

  onTransportData(data: Buffer): void {
    this.#lastActivity = this.#downstream.loop.now;
    if (this.#upstream === null) {
      this.#held.push(data);
      return;
    }
    if (!this.#upstream.writeBytes(data)) this.#downstream.pause();
  }

  onTransportEnd(): void {
    this.#upstream?.end();
    this.#endIfBothEnded();
  }

  onTransportDrain(): void {
    this.#upstream?.resume();
  }

  onTransportClose(failure: SocketFailure | null): void {
    const upstream = this.#upstream;
    this.#finish(upstream !== null && !upstream.isEnded && failure !== null ? "DC" : "");
    if (upstream === null || upstream.isClosed) return;
    if (failure !== null) upstream.reset();
    else upstream.closeGracefully();
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
    this.#downstream.resume();
  }

  upstreamClosed(failure: SocketFailure | null): void {
    if (this.#isOver) return;
    if (failure !== null) {
      this.#finish("UC");
      this.#downstream.reset();
      return;
    }
    this.#finish("");
    this.#downstream.closeGracefully();
  }

  #endIfBothEnded(): void {
    if (this.#upstream === null || !this.#upstream.isEnded || !this.#downstream.isEnded) return;
    this.#finish("");
    this.#upstream.closeGracefully();
    this.#downstream.closeGracefully();
  }

  /** Ends a connection that a network filter refused. */
  refuse(refusal: ConnectionRefusal): void {
    this.#terminationDetails = refusal.details;
    this.#fail("", refusal.cause);
  }

  #fail(flag: string, cause: string): void {
    const { log } = this.#options.environment;
    this.#cause = cause;
    log.debug(`closed ${this.connection.sourceAddress} → ${this.connection.destinationAddress}: ${cause}`);
    this.#finish(flag);
    this.#downstream.destroy();
  }

  /** Connections that find no endpoint count too: so blocked traffic is seen. */
  #reportOpened(): void {
    if (!this.#options.hasStats) return;
    this.#isReported = true;
    this.#options.environment.observer.onTcpOpened(this);
  }

  #giveBack(): void {
    if (this.#endpoint === null || this.#cluster === null) return;
    this.#endpoint.activeConnections--;
    this.#cluster.counters.connections--;
    this.#endpoint = null;
  }

  #finish(flag: string): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.responseFlags = flag;
    this.#downstream.loop.stopSweeping(this);
    this.#pending?.cancel();
    this.#pending = null;
    this.#held = [];
    this.#giveBack();
    const { environment, onClosed } = this.#options;
    if (this.#isReported) environment.observer.onTcpClosed(this);
    this.#writeAccessLog();
    onClosed(this);
  }

  #writeAccessLog(): void {
    const { config, environment } = this.#options;
    if (config.accessLog.length === 0) return;
    try {
      const entry = this.#entry();
      for (const logger of config.accessLog) {
        if (logger.accepts === null || logger.accepts(entry)) {
          environment.writeAccessLog(logger.path, logger.render(entry));
        }
      }
    } catch (error) {
      environment.loop.onBroken(error);
    }
  }

  #entry(): AccessLogEntry {
    const info = this.connection;
    return {
      startTimeMs: info.startTimeMs,
      durationMs: Math.round(this.#downstream.loop.now - info.startTimeMs),
      method: undefined,
      originalPath: undefined,
      path: undefined,
      authority: undefined,
      protocol: undefined,
      responseCode: 0,
      responseFlags: this.responseFlags || "-",
      responseCodeDetails: undefined,
      connectionTerminationDetails: this.#terminationDetails,
      upstreamTransportFailureReason: this.#failureReason,
      bytesReceived: this.receivedBytes,
      bytesSent: this.sentBytes,
      upstreamHost: this.endpointConfig?.key,
      upstreamCluster: this.clusterConfig?.name,
      upstreamLocalAddress: this.#upstreamLocalAddress,
      downstreamLocalAddress: info.destinationAddress,
      downstreamRemoteAddress: info.sourceAddress,
      requestedServerName: info.serverName || undefined,
      routeName: undefined,
      peerUriSan: info.peer?.uriSan,
      localUriSan: info.localUriSan,
      requestHeader: () => undefined,
      responseHeader: () => undefined,
      cause: this.#cause || undefined,
    };
  }

  sweep(now: number): void {
    const { config, environment, hasStats } = this.#options;
    if (config.idleTimeoutMs > 0 && now - this.#lastActivity >= config.idleTimeoutMs) {
      this.#cause = `no byte moved for ${config.idleTimeoutMs} ms`;
      const upstream = this.#upstream;
      this.#finish("");
      upstream?.destroy();
      this.#downstream.destroy();
      return;
    }
    if (!hasStats || now - this.#lastProgress < progressMs || this.#upstream === null) return;
    this.#lastProgress = now;
    const moved = this.receivedBytes + this.sentBytes;
    if (moved !== this.#reportedBytes) environment.observer.onTcpProgress(this);
    this.#reportedBytes = moved;
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
