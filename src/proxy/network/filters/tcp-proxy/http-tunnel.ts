// HOT: per chunk. A stream of HTTP in place of a connection: a CONNECT or POST to a proxy, whose body in both directions
// is the bytes. It is open once the proxy has agreed; until then nothing is sent but the head.
import type { EventLoop } from "../../../transport/event-loop.ts";
import { FailureKind, peerClosed, type SocketFailure } from "../../../transport/socket-error.ts";
import type { TransportUser } from "../../../transport/transport.ts";
import {
  RESET_REFUSED,
  RESET_STALE,
  type ResponseHandler,
  type ResponseHead,
  type UpstreamExchange,
  type UpstreamRequest,
} from "../../../upstream/exchange.ts";
import type { ExchangeSource, PoolWaiter } from "../../../upstream/http-pool.ts";
import type { UpstreamBytes } from "./upstream-bytes.ts";

export interface TunnelOwner {
  onTunnelOpen(exchange: UpstreamExchange): void;
  /** It did not come to be. `isRefused`: by a circuit breaker. */
  onTunnelFailed(reason: number, failure: SocketFailure): void;
}

/** How long a tunnel whose client is gone waits for the proxy's end. */
const lingerMs = 1000;

export class HttpTunnel implements UpstreamBytes, PoolWaiter, ResponseHandler {
  user: TransportUser | null = null;
  isEnded = false;
  isClosed = false;
  /** What waits is in the connection, which others share. */
  readonly unsentBytes = 0;
  readonly #loop: EventLoop;
  readonly #pool: ExchangeSource;
  readonly #request: UpstreamRequest;
  #owner: TunnelOwner | null;
  #exchange: UpstreamExchange | null = null;
  #isTriedAgain = false;
  #cancelLinger: (() => void) | null = null;

  constructor(loop: EventLoop, pool: ExchangeSource, request: UpstreamRequest, owner: TunnelOwner) {
    this.#loop = loop;
    this.#pool = pool;
    this.#request = request;
    this.#owner = owner;
  }

  /** May fail before it returns. */
  start(): void {
    this.#pool.acquire(this);
  }

  /** Nobody wants it any more before it is open. */
  cancel(): void {
    if (this.#owner === null) return;
    this.#owner = null;
    if (this.#exchange === null) this.#pool.cancel(this);
    this.#release();
  }

  onPoolReady(exchange: UpstreamExchange): void {
    this.#exchange = exchange;
    exchange.begin(this);
    exchange.start(this.#request, false);
  }

  onPoolFailed(reason: number, failure: SocketFailure): void {
    this.#failed(reason, failure);
  }

  #failed(reason: number, failure: SocketFailure): void {
    const owner = this.#owner;
    this.#owner = null;
    this.isClosed = true;
    owner?.onTunnelFailed(reason, failure);
  }

  onUpstreamInformational(): void {}

  onUpstreamHead({ status, reason }: ResponseHead, end: boolean): void {
    const owner = this.#owner;
    const { method, authority } = this.#request;
    if (status >= 200 && status < 300 && !end) {
      this.#owner = null;
      owner?.onTunnelOpen(this.#exchange!);
      return;
    }
    const answer = `${status} ${reason}`.trim();
    this.#release();
    this.#failed(0, {
      kind: FailureKind.Closed,
      code: "TUNNEL_REFUSED",
      transportReason: "",
      words: `the proxy answered ${method} ${authority} with ${answer}${end && status < 300 ? " and an end" : ""}`,
    });
  }

  onUpstreamData(data: Buffer): void {
    this.user?.onTransportData(data);
  }

  onUpstreamEnd(): void {
    const { user } = this;
    if (user === null) this.#release();
    else user.onTransportEnd();
  }

  onUpstreamReset(reason: number, failure: SocketFailure | null): void {
    this.#exchange = null;
    if (this.#owner !== null) {
      // The connection was idle and gone, or the proxy had not looked at the request.
      if ((reason === RESET_STALE || reason === RESET_REFUSED) && !this.#isTriedAgain) {
        this.#isTriedAgain = true;
        this.#pool.acquire(this);
      } else {
        this.#failed(reason, failure ?? peerClosed);
      }
      return;
    }
    this.#closed(failure ?? peerClosed);
  }

  onUpstreamDrain(): void {
    this.user?.onTransportDrain();
  }

  attach(user: TransportUser): void {
    this.user = user;
  }

  writeBytes(bytes: Buffer): boolean {
    return this.isEnded ? true : (this.#exchange?.writeData(bytes) ?? true);
  }

  pause(): void {
    this.#exchange?.pauseReading();
  }

  resume(): void {
    this.#exchange?.resumeReading();
  }

  end(): void {
    if (this.isEnded) return;
    this.isEnded = true;
    this.#exchange?.endRequest(null);
  }

  /** Ends, and lets what was sent arrive: the stream would be reset with it. */
  closeGracefully(): void {
    if (this.isClosed) return;
    this.user = null;
    this.end();
    this.#exchange?.resumeReading();
    this.#cancelLinger ??= this.#loop.after(lingerMs, () => this.#release());
  }

  /** HTTP/2 resets the stream, HTTP/1 closes the connection. */
  destroy(): void {
    if (this.isClosed) return;
    this.#release();
    this.#closed(null);
  }

  reset(): void {
    this.destroy();
  }

  #release(): void {
    this.isClosed = true;
    this.#cancelLinger?.();
    this.#cancelLinger = null;
    const exchange = this.#exchange;
    this.#exchange = null;
    exchange?.release();
  }

  #closed(failure: SocketFailure | null): void {
    this.isClosed = true;
    this.#cancelLinger?.();
    this.#cancelLinger = null;
    const { user } = this;
    this.user = null;
    user?.onTransportClose(failure);
  }
}
