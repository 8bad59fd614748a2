// The inside end of the channel to the host process. When it closes, the host process has gone and all has to end.

import { Socket as UdpSocket } from "node:dgram";
import { Server, Socket } from "node:net";
import type { Dial, DialResult } from "../egress/dialer.ts";
import type { Endpoint } from "../network/service-endpoints.ts";
import { sandboxError } from "./errors.ts";
import type { ForwardTarget, HostMessage, Resolver, SandboxMessage } from "./messages.ts";

/** A way to ask the host's resolvers: the socket is one of the host's network. */
export interface HostResolver {
  readonly socket: UdpSocket;
  readonly resolvers: readonly Resolver[];
}

export interface SandboxChannel {
  /** What the host passed to `startSandbox`. */
  readonly options: unknown;
  /** Absent when the host has no resolver. */
  readonly resolver: HostResolver | undefined;
  /** Called with each listening socket of the host. Its connections come by `onConnection`. */
  onListener(callback: (server: Server) => void): void;
  /** Called with each connection to a port of the host, also with those that came before anybody asked. */
  onConnection(callback: (socket: Socket, target: ForwardTarget) => void): void;
  /** Lets the host connect to an address outside of the cluster. */
  readonly dial: Dial;
  /** Tells the host something, as JSON; lost when the host has gone. */
  send(event: unknown): void;
  /** Resolves when the host asks for the end or has gone. */
  readonly ending: Promise<"asked" | "gone">;
  /** Lets the process end; the host ends it when it does not. */
  close(): void;
}

/** Waits for the host's first message. Throws NOT_IN_SANDBOX when this process was not started by `startSandbox`. */
export function openSandboxChannel(): Promise<SandboxChannel> {
  if (process.send === undefined) {
    throw sandboxError("NOT_IN_SANDBOX", "this command is started by `outrigger up`, not by hand");
  }
  const send = (message: SandboxMessage): void => {
    if (process.connected) process.send?.(message);
  };
  const listeners = new Inbox<[Server]>();
  const connections = new Inbox<[Socket, ForwardTarget]>();
  const accept = (socket: Socket, target: ForwardTarget): void => {
    socket.on("error", () => {
      // A client that leaves while it waits; `close` follows.
    });
    connections.put(socket, target);
  };
  const dials = new Dials(send);
  let resolver: HostResolver | undefined;
  return new Promise((resolve) => {
    const ending = new Promise<"asked" | "gone">((end) => {
      process.once("disconnect", () => end("gone"));
      process.on("message", (message: HostMessage, handle: unknown) => {
        if (message.kind === "resolvers" && handle instanceof UdpSocket) {
          resolver = { socket: handle, resolvers: message.resolvers };
        }
        if (message.kind === "stop") end("asked");
        if (message.kind === "dialed") dials.answer(message.id, message.failure, handle);
        if (message.kind === "listener" && handle instanceof Server) {
          // At once: the port listens already, and a connection that nobody hears of would stay open for ever.
          handle.on("connection", (socket) => accept(socket, message.target));
          listeners.put(handle);
        }
        if (message.kind === "connection" && handle instanceof Socket) accept(handle, message.target);
        if (message.kind !== "start") return;
        resolve({
          options: message.options,
          resolver,
          onListener: (callback) => listeners.open(callback),
          onConnection: (callback) => connections.open(callback),
          dial: (destination) => dials.dial(destination),
          send: (event) => send({ kind: "event", event }),
          ending,
          close: () => {
            send({ kind: "stopped" });
            if (process.connected) process.disconnect?.();
          },
        });
      });
    });
    send({ kind: "up" });
  });
}

/** Keeps what arrives until somebody takes it. */
class Inbox<T extends readonly unknown[]> {
  readonly #waiting: T[] = [];
  #callback: ((...items: T) => void) | undefined;

  put(...items: T): void {
    if (this.#callback === undefined) this.#waiting.push(items);
    else this.#callback(...items);
  }

  open(callback: (...items: T) => void): void {
    this.#callback = callback;
    for (const items of this.#waiting.splice(0)) callback(...items);
  }
}

/** Connections that the host was asked for. */
class Dials {
  readonly #waitingById = new Map<number, (result: DialResult) => void>();
  readonly #send: (message: SandboxMessage) => void;
  #lastId = 0;

  constructor(send: (message: SandboxMessage) => void) {
    this.#send = send;
  }

  dial({ address, port }: Endpoint): Promise<DialResult> {
    const id = ++this.#lastId;
    return new Promise((resolve) => {
      this.#waitingById.set(id, resolve);
      this.#send({ kind: "dial", id, address, port });
    });
  }

  answer(id: number, failure: string | undefined, handle: unknown): void {
    const socket = handle instanceof Socket ? handle : undefined;
    const resolve = this.#waitingById.get(id);
    this.#waitingById.delete(id);
    // A socket may have ended on its way here.
    if (socket === undefined) resolve?.({ failure: failure ?? "the server ended the connection at once" });
    else if (resolve === undefined) socket.destroy();
    else resolve({ socket });
  }
}
