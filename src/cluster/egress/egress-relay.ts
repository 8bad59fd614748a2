// The cluster's end of the way out. A rule of the node's netfilter brings every TCP connection of a pod to an address
// outside of the cluster here; the host makes the connection to where it wanted to go, and the two become one. TCP over
// IPv4 only. The pod's connection is accepted before the other one is made: one that cannot be made is reset.
import { createServer, type Server, type Socket } from "node:net";
import type { Running } from "#base/lifecycle.ts";
import type { Logger } from "#base/log/log.ts";
import { OriginalDestinationReader } from "#base/net/original-destination.ts";
import { SocketCalls } from "#base/net/socket-calls.ts";
import { type Clock, systemClock } from "#base/time/clock.ts";
import { joinSockets } from "../network/join-sockets.ts";
import type { Endpoint } from "../network/service-endpoints.ts";
import type { Dial } from "./dialer.ts";
import { RepeatedNotice } from "./repeated-notice.ts";

export interface EgressOptions {
  readonly dial: Dial;
  /** Told why a connection was not made: who, where, why. The same is told once a minute. */
  readonly onProblem: (problem: string) => void;
}

export interface EgressRelayOptions extends EgressOptions {
  readonly host: string;
  readonly port: number;
  /** Where a connection wanted to go; the default asks the kernel. */
  readonly destinationOf?: (socket: Socket) => Endpoint | undefined;
  /** The pod behind an address, as `default/web-1`. */
  readonly podAt: (address: string) => string | undefined;
  readonly limits?: EgressLimits;
  readonly log: Logger;
  readonly clock?: Clock;
}

/** How many connections may be open at once. */
export interface EgressLimits {
  readonly total: number;
  readonly perPod: number;
}

export interface RunningEgressRelay extends Running {
  readonly port: number;
}

const defaultLimits: EgressLimits = { total: 4_096, perPod: 1_024 };
/** Finds servers, and pods, that have gone without a word. */
const keepAliveMs = 60_000;

export async function startEgressRelay(options: EgressRelayOptions): Promise<RunningEgressRelay> {
  const { limits = defaultLimits, clock = systemClock } = options;
  const destinationOf = options.destinationOf ?? askKernel(options.log);
  const notices = new RepeatedNotice(clock);
  const open = new Set<Socket>();
  const openByPod = new Map<string, number>();
  const refuse = (socket: Socket, from: string, { address, port }: Endpoint, reason: string): void => {
    socket.resetAndDestroy();
    const text = `${options.podAt(from) ?? from} does not reach ${address}:${port}: ${reason}`;
    if (notices.isDue(text)) options.onProblem(text);
  };
  const accept = async (socket: Socket): Promise<void> => {
    const from = socket.remoteAddress ?? "";
    socket.on("error", () => {
      // The pod has left; `close` follows.
    });
    const destination = destinationOf(socket);
    // Whoever dials the relay itself wanted to go nowhere.
    if (destination === undefined) return void socket.destroy();
    const ofPod = openByPod.get(from) ?? 0;
    if (open.size >= limits.total || ofPod >= limits.perPod) {
      const [count, owner] = open.size >= limits.total ? [open.size, "all pods have"] : [ofPod, "it has"];
      return refuse(socket, from, destination, `${owner} ${count} connections to the outside open, the limit`);
    }
    open.add(socket);
    openByPod.set(from, ofPod + 1);
    socket.once("close", () => {
      open.delete(socket);
      const rest = (openByPod.get(from) ?? 1) - 1;
      if (rest === 0) openByPod.delete(from);
      else openByPod.set(from, rest);
    });
    const result = await options.dial(destination);
    if ("failure" in result) return refuse(socket, from, destination, result.failure);
    if (socket.destroyed) return void result.socket.destroy();
    result.socket.allowHalfOpen = true;
    result.socket.setKeepAlive(true, keepAliveMs);
    joinSockets(socket, result.socket);
  };
  const settings = { allowHalfOpen: true, pauseOnConnect: true, noDelay: true, keepAlive: true };
  const server = createServer({ ...settings, keepAliveInitialDelay: keepAliveMs }, (socket) => void accept(socket));
  const port = await listen(server, options);
  server.on("error", (error) => options.log.warn(`the way out of the cluster: ${error.message}`));
  return {
    port,
    stop: async () => {
      server.close();
      for (const socket of open) socket.resetAndDestroy();
    },
  };
}

function listen(server: Server, { host, port }: EgressRelayOptions): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host, port, backlog: 1_024 }, () => {
      server.off("error", reject);
      const address = server.address();
      resolve(typeof address === "object" && address !== null ? address.port : port);
    });
  });
}

function askKernel(log: Logger): (socket: Socket) => Endpoint | undefined {
  const calls = new SocketCalls((reason) =>
    log.error(`nothing outside of the cluster can be reached: system calls cannot be made (${reason})`),
  );
  const reader = new OriginalDestinationReader(calls);
  return (socket) => {
    const found = reader.read(socket);
    const isOwn = found?.ip === socket.localAddress && found?.port === socket.localPort;
    return found === null || isOwn ? undefined : { address: found.ip, port: found.port };
  };
}
