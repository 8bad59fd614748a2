// Opens one connection to an endpoint: TCP, then TLS where the transport asks for it, within one timeout. Reports the
// outcome exactly once, unless cancelled.
import { connect, isIP, type NetConnectOpts, type Socket, type TcpSocketConnectOpts } from "node:net";
import { isPipe } from "../transport/connection-info.ts";
import type { EventLoop } from "../transport/event-loop.ts";
import { connectTimeout, type SocketFailure, socketFailure } from "../transport/socket-error.ts";
import { Transport } from "../transport/transport.ts";
import { type SecuredBy, securedByNothing, type UpstreamTls } from "../transport/upstream-tls.ts";

export interface ConnectUser {
  onConnected(transport: Transport, securedBy: SecuredBy): void;
  onConnectFailed(failure: SocketFailure): void;
}

export interface ConnectTarget {
  /** An IP address, the path of a Unix socket, or an abstract name (`@name`). */
  readonly host: string;
  readonly port: number;
  /** Tried one after the other when the first host does not answer soon (RFC 8305). */
  readonly otherHosts: readonly string[];
  /** Source address, as 127.0.0.6. */
  readonly bindAddress: string | null;
  /** Sets the cluster's options on a socket whose connection has begun; null: there are none. */
  readonly prepare: ((socket: Socket) => void) | null;
  /** Goes out first of all, before TLS. */
  readonly proxyHeader: Buffer | null;
  readonly timeoutMs: number;
  readonly bufferLimitBytes: number;
  /** Null for plaintext. */
  readonly tls: UpstreamTls | null;
}

export class PendingConnection {
  readonly #loop: EventLoop;
  readonly #target: ConnectTarget;
  #user: ConnectUser | null;
  #socket: Socket;
  #cancelTimer: (() => void) | null = null;
  #failure: SocketFailure | null = null;

  constructor(loop: EventLoop, target: ConnectTarget, user: ConnectUser) {
    this.#loop = loop;
    this.#target = target;
    this.#user = user;
    this.#socket = connect(isPipe(target.host) ? pipeOptions(target) : tcpOptions(target));
    target.prepare?.(this.#socket);
    this.#socket.on("error", (error) => {
      this.#failure ??= socketFailure(error);
    });
    this.#socket.once("close", () => this.#finish(null, securedByNothing, this.#failure));
    this.#socket.once("connect", () => this.#connected());
    if (target.timeoutMs > 0) {
      this.#cancelTimer = loop.after(target.timeoutMs, () => this.#finish(null, securedByNothing, connectTimeout));
    }
  }

  /** Gives up without a report. */
  cancel(): void {
    if (this.#user === null) return;
    this.#user = null;
    this.#cancelTimer?.();
    this.#socket.destroy();
  }

  #connected(): void {
    if (this.#user === null) return;
    const { tls, proxyHeader } = this.#target;
    if (proxyHeader !== null) this.#socket.write(proxyHeader);
    if (tls === null) {
      this.#finish(this.#socket, securedByNothing, null);
      return;
    }
    try {
      tls.handshake(this.#socket, (secured, securedBy, failure) => {
        if (failure !== null) this.#finish(null, securedByNothing, failure);
        else this.#finish(secured, securedBy, null);
      });
    } catch (error) {
      this.#finish(null, securedByNothing, socketFailure(error));
    }
  }

  #finish(socket: Socket | null, securedBy: SecuredBy, failure: SocketFailure | null): void {
    const user = this.#user;
    if (user === null) return;
    this.#user = null;
    this.#cancelTimer?.();
    this.#loop.enter();
    try {
      if (socket !== null) {
        const transport = new Transport(socket, this.#loop, this.#socket);
        transport.setLimits(this.#target.bufferLimitBytes, 0);
        user.onConnected(transport, securedBy);
      } else {
        this.#socket.destroy();
        user.onConnectFailed(failure ?? socketFailure({ code: "ECONNRESET" }));
      }
    } catch (error) {
      this.#loop.onBroken(error);
      this.#socket.destroy();
    } finally {
      this.#loop.leave();
    }
  }
}

function pipeOptions({ host }: ConnectTarget): NetConnectOpts {
  return { path: host.startsWith("@") ? `\0${host.slice(1)}` : host, allowHalfOpen: true };
}

function tcpOptions(target: ConnectTarget): NetConnectOpts {
  const { host, port, bindAddress, otherHosts } = target;
  return {
    host,
    port,
    allowHalfOpen: true,
    noDelay: true,
    ...(bindAddress !== null && { localAddress: bindAddress }),
    ...(otherHosts.length > 0 && anyOf([host, ...otherHosts])),
  };
}

/** RFC 8305 section 5: how long one address may take before the next is tried beside it. */
const attemptDelayMs = 250;

/** Connects to the first of several addresses that answers. */
function anyOf(hosts: readonly string[]): Partial<TcpSocketConnectOpts> {
  const addresses = hosts.map((address) => ({ address, family: isIP(address) }));
  return {
    // A name, so that the addresses are asked for.
    host: "endpoint",
    autoSelectFamily: true,
    autoSelectFamilyAttemptTimeout: attemptDelayMs,
    lookup: (_name, _options, done) => done(null, addresses),
  };
}
