// A connection whose terminal filter answers for itself, without an endpoint. The client's end ends it, once what was
// answered has left.
import type { SocketFailure } from "../transport/socket-error.ts";
import type { Transport, TransportUser } from "../transport/transport.ts";
import type { NetworkConnection } from "./connection.ts";
import type { ServedConnection } from "./filter.ts";

/** Answers bytes of the client; false asks to read no more until they have left. Null: they are dropped. */
type Answer = (transport: Transport, data: Buffer) => boolean;

export class LocalTerminal implements TransportUser, ServedConnection {
  readonly #connection: NetworkConnection;
  readonly #transport: Transport;
  readonly #answer: Answer | null;

  constructor(connection: NetworkConnection, answer: Answer | null) {
    this.#connection = connection;
    this.#transport = connection.transport;
    this.#answer = answer;
    this.#transport.attach(this);
  }

  onTransportData(data: Buffer): void {
    if (this.#answer?.(this.#transport, data) === false) this.#transport.pause();
  }

  onTransportEnd(): void {
    this.end();
  }

  onTransportDrain(): void {
    this.#transport.resume();
  }

  onTransportClose(_failure: SocketFailure | null): void {
    this.#connection.closed();
  }

  /** Sends what is queued and closes. */
  end(): void {
    this.#transport.closeGracefully();
  }

  drain(): void {
    this.end();
  }

  destroy(): void {
    this.#transport.destroy();
  }
}
