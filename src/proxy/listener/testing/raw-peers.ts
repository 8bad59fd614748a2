// Peers that speak bytes: a server that does with each connection what the test says, and a client that sends what it
// is told and remembers what came back. Nothing is parsed, so nothing that is wrong is hidden.
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { until } from "./requests.ts";

export interface RawServer {
  readonly port: number;
  readonly server: Server;
  readonly sockets: ReadonlySet<Socket>;
  stop(): void;
}

export async function rawServer(onConnection: (socket: Socket) => void): Promise<RawServer> {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
    onConnection(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const stop = (): void => {
    for (const socket of sockets) socket.destroy();
    server.close();
  };
  return { port: (server.address() as AddressInfo).port, server, sockets, stop };
}

/** A server that answers each request head with the same bytes and remembers what it was sent. */
export async function cannedServer(answer: string): Promise<RawServer & { readonly received: () => string }> {
  let received = "";
  const server = await rawServer((socket) => {
    let text = "";
    socket.on("data", (data) => {
      received += data.toString("latin1");
      text += data.toString("latin1");
      for (let end = text.indexOf("\r\n\r\n"); end >= 0; end = text.indexOf("\r\n\r\n")) {
        text = text.slice(end + 4);
        socket.write(answer, "latin1");
      }
    });
    socket.on("end", () => socket.end());
  });
  return { ...server, received: () => received };
}

export class RawClient {
  readonly socket: Socket;
  /** Everything received, as latin1. */
  text = "";
  /** The peer said that it sends no more. */
  ended = false;
  closed = false;
  /** Code of the error that ended the connection. */
  error: string | undefined = undefined;

  constructor(port: number, localAddress = "127.0.0.1") {
    this.socket = connect({ port, host: "127.0.0.1", localAddress, allowHalfOpen: true });
    this.socket.on("data", (data) => (this.text += data.toString("latin1")));
    this.socket.on("end", () => (this.ended = true));
    this.socket.on("close", () => (this.closed = true));
    this.socket.on("error", (error: NodeJS.ErrnoException) => (this.error ??= error.code));
  }

  send(bytes: string | Buffer): void {
    if (typeof bytes === "string") this.socket.write(bytes, "latin1");
    else this.socket.write(bytes);
  }

  /** Waits until what was received holds the text or matches. */
  async sees(pattern: string | RegExp): Promise<void> {
    await until(() => (typeof pattern === "string" ? this.text.includes(pattern) : pattern.test(this.text)));
  }

  async isEnded(): Promise<void> {
    await until(() => this.ended || this.closed);
  }

  async isClosed(): Promise<void> {
    await until(() => this.closed);
  }
}
