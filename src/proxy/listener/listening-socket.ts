// One bound socket of a listener: TCP, or a Unix socket in the file system or with an abstract name. Options that must be
// set before the address is bound need a socket of our own making; all others are set on Node's.
import { chmodSync, lstatSync, unlinkSync } from "node:fs";
import { createServer, isIPv6, type ListenOptions, type Server, type Socket } from "node:net";
import { descriptorOf, type SocketCalls } from "#base/net/socket-calls.ts";
import type { ListenAddress, SocketOption } from "../config/socket.ts";

/** Connections that the kernel keeps for us, where the configuration does not say. */
const defaultBacklog = 4096;

export interface ListeningOptions {
  readonly address: ListenAddress;
  readonly socketOptions: readonly SocketOption[];
  /** 0 takes the default. */
  readonly backlog: number;
  /** Whether an IPv6 address takes IPv4 connections too. */
  readonly dualStack: boolean;
  /** Other threads listen on the same port; the kernel spreads connections. */
  readonly sharesPorts: boolean;
  readonly calls: SocketCalls;
  readonly onConnection: (socket: Socket) => void;
  readonly onError: (error: Error) => void;
}

export class ListeningSocket {
  readonly address: ListenAddress;
  readonly #server: Server;

  private constructor(address: ListenAddress, server: Server) {
    this.address = address;
    this.#server = server;
  }

  /** Binds and listens; rejects when the address can't be had or an option can't be set. */
  static async open(options: ListeningOptions): Promise<ListeningSocket> {
    const { address, onConnection, onError, calls } = options;
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, onConnection);
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(listenOptions(options), () => {
        server.off("error", reject);
        server.on("error", onError);
        resolve();
      });
    });
    try {
      for (const option of options.socketOptions) if (!option.isPrebind) setOption(calls, server, option);
      if (address.mode !== 0) chmodSync(address.host, address.mode);
    } catch (error) {
      server.close();
      throw error;
    }
    return new ListeningSocket(address, server);
  }

  /** The port that the system gave, which differs from the configured one only for port 0. */
  get port(): number {
    const address = this.#server.address();
    return typeof address === "object" && address !== null ? address.port : this.address.port;
  }

  close(): void {
    this.#server.close();
  }
}

function setOption(calls: SocketCalls, server: Server, option: SocketOption): void {
  const error = calls.setOption(descriptorOf(server), option);
  if (error !== null) throw new Error(`the socket option ${option.description} can't be set: ${error}`);
}

function listenOptions(options: ListeningOptions): ListenOptions & { fd?: number } {
  const { address, dualStack, sharesPorts, calls } = options;
  const backlog = options.backlog || defaultBacklog;
  const { host, port } = address;
  if (host.startsWith("@")) return { path: `\0${host.slice(1)}`, backlog };
  if (host.startsWith("/")) {
    removeStale(host);
    return { path: host, backlog };
  }
  const isDualStack = !isIPv6(host) || dualStack;
  const prebind = options.socketOptions.filter((option) => option.isPrebind);
  if (prebind.length === 0) return { host, port, backlog, reusePort: sharesPorts, ipv6Only: !isDualStack };
  if (sharesPorts) prebind.push(reusePort);
  const fd = calls.bindSocket(host, port, prebind, isDualStack);
  if (typeof fd === "string") throw new Error(`${host}:${port} can't be bound: ${fd}`);
  return { fd, backlog };
}

const reusePort: SocketOption = {
  level: 1,
  name: 15,
  value: Buffer.from([1, 0, 0, 0]),
  description: "SO_REUSEPORT",
  isPrebind: true,
};

/** A socket file that an earlier process left behind keeps its path from being bound. Other files are not touched. */
function removeStale(path: string): void {
  try {
    if (lstatSync(path).isSocket()) unlinkSync(path);
  } catch {
    // Nothing is there, or binding will say what is wrong.
  }
}
