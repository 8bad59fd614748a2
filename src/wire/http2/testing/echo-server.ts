// A server that sends back what it is sent, or 64 bytes for a GET: something to point other implementations at.
import { createServer, type Server, type Socket } from "node:net";
import { Headers } from "../../http/headers.ts";
import { type Http2Connection, SERVER } from "../connection.ts";
import type { Http2Head } from "../head.ts";
import { edgeSettings, type Http2Settings } from "../settings.ts";
import type { Http2Stream, Http2StreamHandler } from "../stream.ts";
import { connectOver } from "./socket-sink.ts";

const text = Buffer.alloc(64, "x");

class Echo implements Http2StreamHandler {
  readonly #stream: Http2Stream;

  constructor(stream: Http2Stream) {
    this.#stream = stream;
  }

  onHeaders(): void {}
  onInformational(): void {}
  onReset(): void {}

  onData(data: Buffer, isEnd: boolean): void {
    if (!this.#stream.sendData(data, isEnd)) this.#stream.pauseReading();
  }

  onTrailers(trailers: Headers): void {
    const copy = new Headers();
    copy.copyFrom(trailers);
    this.#stream.sendTrailers(copy);
  }

  onDrain(): void {
    this.#stream.resumeReading();
  }
}

export class EchoServer {
  readonly connections: Set<Http2Connection> = new Set();
  readonly errors: string[] = [];
  readonly server: Server;
  readonly #settings: Http2Settings;
  readonly #sockets = new Set<Socket>();

  constructor(settings: Partial<Http2Settings> = {}) {
    this.#settings = { ...edgeSettings, ...settings };
    this.server = createServer((socket) => this.#accept(socket));
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket);
    const connection = connectOver(socket, SERVER, this.#settings, {
      onStream: (stream, head, isEnd) => answer(stream, head, isEnd),
      onHeadTooLarge: (stream) => stream.sendHead(431, new Headers(), true),
      onMalformedRequest: () => {},
      onStreamError: () => {},
      onGoaway: () => {},
      onSettings: () => {},
      onConnectionError: (_code, words) => void this.errors.push(words),
      onDrained: () => socket.end(),
    });
    this.connections.add(connection);
    socket.on("close", () => {
      this.#sockets.delete(socket);
      this.connections.delete(connection);
    });
  }

  async listen(port = 0): Promise<number> {
    await new Promise<void>((resolve) => this.server.listen(port, "127.0.0.1", resolve));
    const address = this.server.address();
    return typeof address === "object" && address !== null ? address.port : 0;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.server.close(() => resolve()));
  }
}

function answer(stream: Http2Stream, head: Http2Head, isEnd: boolean): void {
  const headers = new Headers();
  headers.add("content-type", "text/plain");
  const copied = head.headers.get("x-echo");
  if (copied !== undefined) headers.add("x-echo", copied);
  stream.handler = new Echo(stream);
  const isEmpty = isEnd && head.method === "HEAD";
  stream.sendHead(200, headers, isEmpty);
  if (isEnd && !isEmpty) stream.sendData(text, true);
}
