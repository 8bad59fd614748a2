// Which version of HTTP a connection speaks, where neither the configuration nor ALPN says it: HTTP/2 begins with its
// preface (RFC 9113 3.4), everything else is HTTP/1.
import { CLIENT_PREFACE } from "#wire/http2/frame.ts";
import type { ConnectionInfo } from "../transport/connection-info.ts";
import type { SocketFailure } from "../transport/socket-error.ts";
import type { Transport, TransportUser } from "../transport/transport.ts";
import type { HttpConnectionManager } from "./connection-manager.ts";
import { Http1ServerConnection } from "./http1-server-connection.ts";
import { Http2ServerConnection } from "./http2-server-connection.ts";
import { headTimeoutMs } from "./stream-deadlines.ts";

/** A connection in service. */
interface HttpConnection {
  drain(): void;
  destroy(): void;
}

/** Serves HTTP on the connection, in the version that it turns out to speak. */
export function serveHttp(
  manager: HttpConnectionManager,
  transport: Transport,
  info: ConnectionInfo,
  onClosed: () => void,
): HttpConnection {
  const { codec } = manager.config;
  if (codec === "http1" || info.negotiatedAlpn.endsWith("http/1.1")) {
    return attached(transport, new Http1ServerConnection(manager, transport, info, onClosed));
  }
  if (codec === "http2" || info.negotiatedAlpn === "h2" || info.negotiatedAlpn === "istio-h2") {
    return attached(transport, new Http2ServerConnection(manager, transport, info, onClosed));
  }
  return attached(transport, new CodecDetector(manager, transport, info, onClosed));
}

function attached<T extends TransportUser>(transport: Transport, user: T): T {
  transport.attach(user);
  return user;
}

class CodecDetector implements TransportUser {
  readonly #manager: HttpConnectionManager;
  readonly #transport: Transport;
  readonly #info: ConnectionInfo;
  readonly #onClosed: () => void;
  #bytes: Buffer | null = null;
  #connection: HttpConnection | null = null;
  /** Since when nothing was said, or the preface began. */
  #since: number;

  constructor(manager: HttpConnectionManager, transport: Transport, info: ConnectionInfo, onClosed: () => void) {
    this.#manager = manager;
    this.#transport = transport;
    this.#info = info;
    this.#onClosed = onClosed;
    this.#since = transport.loop.now;
    transport.loop.sweepAlways(this);
  }

  onTransportData(data: Buffer): void {
    const bytes = this.#bytes === null ? data : Buffer.concat([this.#bytes, data]);
    const length = Math.min(bytes.length, CLIENT_PREFACE.length);
    const isPreface = bytes.compare(CLIENT_PREFACE, 0, length, 0, length) === 0;
    if (isPreface && length < CLIENT_PREFACE.length) {
      if (this.#bytes === null) this.#since = this.#transport.loop.now;
      this.#bytes = bytes;
      return;
    }
    this.#transport.loop.stopSweeping(this);
    const Codec = isPreface ? Http2ServerConnection : Http1ServerConnection;
    const connection = new Codec(this.#manager, this.#transport, this.#info, this.#onClosed);
    this.#connection = connection;
    this.#transport.user = connection;
    connection.onTransportData(bytes);
  }

  onTransportEnd(): void {
    this.#transport.destroy();
  }

  onTransportDrain(): void {}

  onTransportClose(_failure: SocketFailure | null): void {
    this.#transport.loop.stopSweeping(this);
    this.#onClosed();
  }

  sweep(now: number): void {
    const { config, environment } = this.#manager;
    const idleTimeoutMs = environment.shedding.connectionIdleMs(config.idleTimeoutMs);
    const limitMs = this.#bytes === null ? idleTimeoutMs : headTimeoutMs(config);
    if (limitMs > 0 && now - this.#since >= limitMs) this.#transport.destroy();
  }

  drain(): void {
    if (this.#connection !== null) this.#connection.drain();
    else this.#transport.closeGracefully();
  }

  destroy(): void {
    this.#transport.destroy();
  }
}
