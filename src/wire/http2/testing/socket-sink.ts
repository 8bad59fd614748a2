// A connection over a real socket, for tests with other implementations as peers. Output goes out at the end of a turn.
import type { Socket } from "node:net";
import { http2CodecCounters } from "../codec-counters.ts";
import { Http2Connection } from "../connection.ts";
import type { Http2Events, Http2Sink } from "../owner.ts";
import type { Http2Settings } from "../settings.ts";

class SocketSink implements Http2Sink {
  readonly counters = http2CodecCounters();
  readonly #socket: Socket;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  writeBytes(bytes: Buffer): boolean {
    return this.#socket.destroyed || this.#socket.writableEnded ? true : this.#socket.write(bytes);
  }

  flushSoon(connection: Http2Connection): void {
    queueMicrotask(() => {
      connection.flush();
      if (connection.isClosed) this.#socket.end();
    });
  }

  now(): number {
    return performance.now();
  }
}

/** Runs a connection on the socket until either ends. */
export function connectOver(
  socket: Socket,
  role: number,
  settings: Http2Settings,
  events: Http2Events,
): Http2Connection {
  const connection = new Http2Connection(role, settings, new SocketSink(socket), events);
  socket.setNoDelay(true);
  socket.on("data", (data: Buffer) => connection.receive(data));
  socket.on("drain", () => connection.onSinkDrain());
  socket.on("error", () => socket.destroy());
  socket.on("close", () => connection.connectionLost());
  socket.on("end", () => socket.end());
  connection.start();
  return connection;
}
