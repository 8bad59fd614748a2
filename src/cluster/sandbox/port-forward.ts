// Connects sockets that the host accepted with a ready endpoint of a Service. The sockets live in the host's network
// namespace, the connections to pods in the cluster's: this process is the only bridge between the two.

import { connect, type Server, type Socket } from "node:net";
import type { Running } from "#base/lifecycle.ts";
import type { Logger } from "#base/log/log.ts";
import { joinSockets } from "../network/join-sockets.ts";
import type { Endpoint } from "../network/service-endpoints.ts";
import type { SandboxChannel } from "./channel.ts";
import type { ForwardTarget } from "./messages.ts";

export interface PortForwardOptions {
  readonly channel: Pick<SandboxChannel, "onListener" | "onConnection">;
  /** Picks where a new connection goes; undefined when nothing is ready. */
  readonly pick: (target: ForwardTarget) => Endpoint | undefined;
  readonly log: Logger;
}

const connectTimeoutMs = 5_000;

export function startPortForward(options: PortForwardOptions): Running {
  const servers = new Set<Server>();
  const sockets = new Set<Socket>();
  options.channel.onListener((server) => {
    servers.add(server);
    server.on("error", (error) => options.log.warn(`a port of the host stopped listening: ${error.message}`));
  });
  options.channel.onConnection((socket, target) => {
    if (socket.destroyed) return;
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    bridge(socket, options.pick(target));
  });
  return {
    stop: async () => {
      for (const server of servers) server.close();
      for (const socket of sockets) socket.resetAndDestroy();
    },
  };
}

/** Joins the two sides until both have ended; a failure on one side resets the other. */
export function bridge(downstream: Socket, endpoint: Endpoint | undefined): void {
  downstream.allowHalfOpen = true;
  downstream.setNoDelay(true);
  if (endpoint === undefined) {
    downstream.resetAndDestroy();
    return;
  }
  const upstream = connect({ host: endpoint.address, port: endpoint.port, allowHalfOpen: true, noDelay: true });
  const timer = setTimeout(() => upstream.destroy(), connectTimeoutMs);
  upstream.once("connect", () => clearTimeout(timer));
  upstream.once("close", () => clearTimeout(timer));
  joinSockets(downstream, upstream);
}
