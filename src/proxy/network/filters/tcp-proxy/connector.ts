// Finds an endpoint of a cluster and connects to it, or opens a tunnel through it, again with another one while attempts
// are left. Keeps the counters of cluster and endpoint for as long as the connection lives.
import type { JsonObject } from "@bufbuild/protobuf";
import type { Hash64 } from "#base/hash/hash64.ts";
import { http1, protocolFor } from "../../../decide/upstream-protocol.ts";
import { withFlag } from "../../../http/response-flags.ts";
import { type ConnectionInfo, formatAddress, plainIp } from "../../../transport/connection-info.ts";
import type { EventLoop } from "../../../transport/event-loop.ts";
import { FailureKind, type SocketFailure } from "../../../transport/socket-error.ts";
import type { Transport } from "../../../transport/transport.ts";
import type { SecuredBy } from "../../../transport/upstream-tls.ts";
import type { ChoiceContext } from "../../../upstream/balance/choice.ts";
import type { CircuitBreaker } from "../../../upstream/circuit-breaker.ts";
import type { Cluster } from "../../../upstream/cluster.ts";
import { recordTime } from "../../../upstream/cluster-counters.ts";
import { type ConnectUser, PendingConnection } from "../../../upstream/connect.ts";
import type { UpstreamEndpoint } from "../../../upstream/endpoint.ts";
import { RESET_OVERFLOW, type UpstreamExchange, type UpstreamRequest } from "../../../upstream/exchange.ts";
import { whyNoEndpoint } from "../../../upstream/why-no-endpoint.ts";
import { HttpTunnel, type TunnelOwner } from "./http-tunnel.ts";
import type { UpstreamBytes } from "./upstream-bytes.ts";

export interface ConnectorUser {
  onUpstreamConnected(upstream: UpstreamBytes, securedBy: SecuredBy, localAddress: string): void;
  /** No attempt is left; `flag` is Envoy's. */
  onUpstreamUnavailable(flag: string, cause: string): void;
}

/** How often a balancer is asked for a host that was not tried. */
const hostSelectionAttempts = 5;

const tunnelRequest = { isHttp2Request: false, isTunnelRequest: true };

export class Connector implements ConnectUser, TunnelOwner, ChoiceContext {
  readonly cluster: Cluster;
  endpoint: UpstreamEndpoint | null = null;
  /** `%UPSTREAM_TRANSPORT_FAILURE_REASON%` of the last attempt that failed. */
  failureReason: string | undefined = undefined;
  /** Connections tried so far. */
  tried = 0;
  /** Makes the request that opens a tunnel; null: endpoints are connected to. */
  tunnelRequest: ((isSecured: boolean) => UpstreamRequest | null) | null = null;
  // For the balancer.
  readonly destination: { readonly ip: string; readonly port: number } | null;
  hash: Hash64 | null = null;
  metadataMatch: JsonObject | null = null;
  excluded: UpstreamEndpoint[] | null = null;
  readonly attempts: number = hostSelectionAttempts;
  readonly avoidsCanaries = false;
  readonly leftPriorities = null;
  readonly overrideHost = null;
  readonly headers = null;
  dynamicHost: string | null = null;
  readonly #loop: EventLoop;
  readonly #info: ConnectionInfo;
  readonly #maxAttempts: number;
  readonly #user: ConnectorUser;
  #pending: PendingConnection | null = null;
  #transport: Transport | null = null;
  #tunnel: HttpTunnel | null = null;
  #isCounted = false;
  #beganMs = 0;
  #connectedMs = 0;
  #isRequestCounted = false;
  #flags = "";

  constructor(cluster: Cluster, info: ConnectionInfo, maxAttempts: number, user: ConnectorUser) {
    this.cluster = cluster;
    this.#loop = cluster.loop;
    this.#info = info;
    this.#maxAttempts = maxAttempts;
    this.#user = user;
    const isOwn = cluster.config.type === "original_dst" && info.isOwnAddress;
    this.destination = isOwn ? null : { ip: info.destinationIp, port: info.destinationPort };
  }

  /** Begins an attempt. The user is told when it is over, maybe at once. */
  connect(): void {
    const { cluster } = this;
    const breaker = cluster.breakers.default;
    if (this.#isRefused(breaker, 0)) return;
    this.tried++;
    const endpoint = cluster.choose(this);
    if (endpoint === null) {
      this.#user.onUpstreamUnavailable(
        withFlag(this.#flags, "UH"),
        whyNoEndpoint(cluster, this.#info, this.dynamicHost),
      );
      return;
    }
    if (this.tunnelRequest === null) this.#connectTo(endpoint, breaker);
    else this.#openTunnel(endpoint, breaker, this.tunnelRequest);
  }

  #connectTo(endpoint: UpstreamEndpoint, breaker: CircuitBreaker): void {
    if (this.#isRefused(breaker, endpoint.activeConnections)) return;
    this.endpoint = endpoint;
    this.#isCounted = true;
    endpoint.activeConnections++;
    endpoint.connectionsTotal++;
    breaker.takeConnection();
    const target = this.cluster.connectTarget(endpoint, http1, this.#info);
    this.#beganMs = this.#loop.now;
    this.#pending = new PendingConnection(this.#loop, target, this);
  }

  #openTunnel(
    endpoint: UpstreamEndpoint,
    breaker: CircuitBreaker,
    makeRequest: NonNullable<Connector["tunnelRequest"]>,
  ): void {
    const { cluster } = this;
    const wish = protocolFor(cluster.config, tunnelRequest, false);
    const request = makeRequest(cluster.connectTarget(endpoint, wish, this.#info).tls !== null);
    if (request === null) {
      this.#user.onUpstreamUnavailable(
        withFlag(this.#flags, "UF"),
        "the connection does not say where its tunnel goes",
      );
      return;
    }
    const refusal = breaker.takeRequest();
    if (refusal !== null) {
      this.#refuse(refusal.words);
      return;
    }
    this.endpoint = endpoint;
    this.#isRequestCounted = true;
    endpoint.activeRequests++;
    endpoint.requestsTotal++;
    const pool = cluster.pool(endpoint, wish, "default", this.#info);
    this.#tunnel = new HttpTunnel(this.#loop, pool, request, this);
    this.#tunnel.start();
  }

  #isRefused(breaker: CircuitBreaker, endpointConnections: number): boolean {
    const refusal = breaker.refuseConnection(endpointConnections);
    if (refusal === null) return false;
    this.#refuse(refusal.words);
    return true;
  }

  #refuse(words: string): void {
    this.#user.onUpstreamUnavailable(withFlag(this.#flags, "UO"), `cluster ${this.cluster.config.name}: ${words}`);
  }

  onConnected(transport: Transport, securedBy: SecuredBy): void {
    this.#pending = null;
    this.#transport = transport;
    this.#connectedMs = this.#loop.now;
    recordTime(this.cluster.counters, "connects", this.#beganMs, this.#connectedMs);
    this.endpoint?.outlier?.onTcpConnected();
    if (this.cluster.config.closesConnectionsOnFailure) this.endpoint?.closeOnFailure(transport);
    const { localAddress, localPort } = transport.socket;
    this.#user.onUpstreamConnected(transport, securedBy, formatAddress(plainIp(localAddress), localPort ?? 0));
  }

  onTunnelOpen({ securedBy, localAddress }: UpstreamExchange): void {
    this.endpoint?.outlier?.onTcpConnected();
    this.#user.onUpstreamConnected(this.#tunnel!, securedBy, localAddress);
  }

  onTunnelFailed(reason: number, failure: SocketFailure): void {
    this.#tunnel = null;
    if (reason === RESET_OVERFLOW) {
      this.#giveBack();
      this.#refuse(failure.words);
      return;
    }
    this.endpoint!.requestErrors++;
    this.#failed(failure);
  }

  onConnectFailed(failure: SocketFailure): void {
    this.#pending = null;
    this.endpoint!.connectFailures++;
    this.cluster.counters.connectFailures++;
    if (failure.kind === FailureKind.Timeout) this.cluster.counters.connectTimeouts++;
    this.#failed(failure);
  }

  #failed(failure: SocketFailure): void {
    const endpoint = this.endpoint!;
    endpoint.outlier?.onLocalFailure(failure.kind === FailureKind.Timeout);
    if (failure.transportReason !== "") this.failureReason = failure.transportReason;
    this.#flags = withFlag(this.#flags, "UF");
    this.#giveBack();
    if (this.tried < this.#maxAttempts) {
      this.excluded ??= [];
      this.excluded.push(endpoint);
      this.connect();
      return;
    }
    this.cluster.counters.connectAttemptsExceeded++;
    const times = this.tried === 1 ? "" : ` (attempt ${this.tried} of ${this.#maxAttempts})`;
    this.#user.onUpstreamUnavailable(withFlag(this.#flags, "URX"), `${endpoint.config.key}: ${failure.words}${times}`);
  }

  /** The connection is over, or nobody wants it any more. */
  release(): void {
    this.#pending?.cancel();
    this.#pending = null;
    // Once it is open it is the user's.
    this.#tunnel?.cancel();
    this.#giveBack();
  }

  #giveBack(): void {
    if (this.#isRequestCounted) {
      this.#isRequestCounted = false;
      this.endpoint!.activeRequests--;
      this.cluster.breakers.default.giveRequest();
    }
    if (!this.#isCounted) return;
    this.#isCounted = false;
    if (this.#transport !== null) {
      this.endpoint!.forget(this.#transport);
      recordTime(this.cluster.counters, "connections", this.#connectedMs, this.#loop.now);
    }
    this.#transport = null;
    this.endpoint!.activeConnections--;
    this.cluster.breakers.default.giveConnection();
  }
}
