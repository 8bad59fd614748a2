// Where a CONNECT ends at this proxy: its bytes go to the endpoint as they are, over a TCP connection of their own. The
// answer to the client (200) is made here as soon as the connection stands. RFC 9110 9.3.6, Envoy's `connect_config`.
import { Headers } from "#wire/http/headers.ts";
import { formatAddress, plainIp } from "../transport/connection-info.ts";
import { FailureKind, peerClosed, type SocketFailure } from "../transport/socket-error.ts";
import type { Transport, TransportUser } from "../transport/transport.ts";
import { type SecuredBy, securedByNothing } from "../transport/upstream-tls.ts";
import type { CircuitBreaker } from "./circuit-breaker.ts";
import type { Cluster } from "./cluster.ts";
import { recordTime } from "./cluster-counters.ts";
import { type ConnectTarget, type ConnectUser, PendingConnection } from "./connect.ts";
import type { UpstreamEndpoint } from "./endpoint.ts";
import {
  RESET_CONNECT_FAILURE,
  RESET_CONNECTION_CLOSED,
  RESET_OVERFLOW,
  type ResponseHandler,
  type UpstreamExchange,
} from "./exchange.ts";
import type { PoolWaiter } from "./http-pool.ts";

export class TcpTunnel implements UpstreamExchange, ConnectUser, TransportUser {
  readonly requestsBefore = 0;
  readonly mayBeRefused = false;
  readonly httpVersion = "";
  securedBy: SecuredBy = securedByNothing;
  readonly #cluster: Cluster;
  readonly #endpoint: UpstreamEndpoint;
  readonly #breaker: CircuitBreaker;
  readonly #target: ConnectTarget;
  #waiter: PoolWaiter | null = null;
  #pending: PendingConnection | null = null;
  #transport: Transport | null = null;
  #handler: ResponseHandler | null = null;
  #isCounted = false;
  #beganMs = 0;
  #connectedMs = 0;

  constructor(cluster: Cluster, endpoint: UpstreamEndpoint, breaker: CircuitBreaker, target: ConnectTarget) {
    this.#cluster = cluster;
    this.#endpoint = endpoint;
    this.#breaker = breaker;
    this.#target = target;
  }

  get localAddress(): string {
    const socket = this.#transport?.socket;
    return socket === undefined ? "" : formatAddress(plainIp(socket.localAddress), socket.localPort ?? 0);
  }

  acquire(waiter: PoolWaiter): void {
    const refusal = this.#breaker.refuseConnection(this.#endpoint.activeConnections);
    if (refusal !== null) {
      waiter.onPoolFailed(RESET_OVERFLOW, refusal);
      return;
    }
    this.#waiter = waiter;
    this.#isCounted = true;
    this.#breaker.takeConnection();
    this.#endpoint.activeConnections++;
    this.#endpoint.connectionsTotal++;
    this.#beganMs = this.#cluster.loop.now;
    this.#pending = new PendingConnection(this.#cluster.loop, this.#target, this);
  }

  cancel(): void {
    this.#waiter = null;
    this.#pending?.cancel();
    this.#giveBack();
  }

  onConnected(transport: Transport, securedBy: SecuredBy): void {
    this.#pending = null;
    this.#transport = transport;
    this.securedBy = securedBy;
    this.#connectedMs = this.#cluster.loop.now;
    recordTime(this.#cluster.counters, "connects", this.#beganMs, this.#connectedMs);
    transport.attach(this);
    transport.pause();
    const waiter = this.#waiter;
    this.#waiter = null;
    waiter?.onPoolReady(this);
  }

  onConnectFailed(failure: SocketFailure): void {
    this.#pending = null;
    this.#giveBack();
    this.#endpoint.connectFailures++;
    this.#cluster.counters.connectFailures++;
    if (failure.kind === FailureKind.Timeout) this.#cluster.counters.connectTimeouts++;
    const waiter = this.#waiter;
    this.#waiter = null;
    waiter?.onPoolFailed(RESET_CONNECT_FAILURE, failure);
  }

  #giveBack(): void {
    if (!this.#isCounted) return;
    this.#isCounted = false;
    const { counters, loop } = this.#cluster;
    if (this.#connectedMs > 0) recordTime(counters, "connections", this.#connectedMs, loop.now);
    this.#breaker.giveConnection();
    this.#endpoint.activeConnections--;
  }

  begin(handler: ResponseHandler): void {
    this.#handler = handler;
  }

  start(): void {
    // Not before the router is done with its own part of the start.
    this.#cluster.loop.after(0, () => this.#answer());
  }

  #answer(): void {
    const head = { status: 200, reason: "OK", headers: new Headers(), contentLength: -1 };
    this.#handler?.onUpstreamHead(head, false, true);
    this.#transport?.resume();
  }

  writeData(data: Buffer): boolean {
    return this.#transport?.writeBytes(data) ?? true;
  }

  endRequest(): void {
    this.#transport?.end();
  }

  pauseReading(): void {
    this.#transport?.pause();
  }

  resumeReading(): void {
    this.#transport?.resume();
  }

  release(): void {
    this.#handler = null;
    this.#transport?.destroy();
    this.#giveBack();
  }

  onTransportData(data: Buffer): void {
    this.#handler?.onUpstreamData(data);
  }

  onTransportEnd(): void {
    this.#handler?.onUpstreamEnd(null);
  }

  onTransportDrain(): void {
    this.#handler?.onUpstreamDrain();
  }

  onTransportClose(failure: SocketFailure | null): void {
    const handler = this.#handler;
    this.#handler = null;
    this.#giveBack();
    handler?.onUpstreamReset(RESET_CONNECTION_CLOSED, failure ?? peerClosed);
  }
}
