// Puts the options of a cluster on its sockets: keepalive probes, and options by the kernel's numbers.
import type { Socket } from "node:net";
import type { Logger } from "#base/log/log.ts";
import { descriptorOf, type SocketCalls } from "#base/net/socket-calls.ts";
import type { ClusterConfig } from "../config/cluster.ts";
import type { Keepalive } from "../config/socket.ts";

/** Null when the cluster asks for nothing. An option that can't be set is told once, and connections go on without it. */
export function socketPreparation(
  { name, socketOptions, keepalive }: ClusterConfig,
  calls: SocketCalls,
  log: Logger,
): ((socket: Socket) => void) | null {
  if (keepalive === null && socketOptions.length === 0) return null;
  const failed = new Set<string>();
  return (socket) => {
    if (keepalive !== null) probe(socket, keepalive);
    for (const option of socketOptions) {
      const error = calls.setOption(descriptorOf(socket), option);
      if (error === null || failed.has(option.description)) continue;
      failed.add(option.description);
      log.warn(`cluster ${name}: the socket option ${option.description} can't be set: ${error}`);
    }
  };
}

/** With Node 26's interval and number of probes, which its types do not have yet. */
interface ProbedSocket {
  setKeepAlive(enable: boolean, delayMs: number, intervalMs?: number, count?: number): unknown;
}

/** Linux' defaults, which Node would replace by its own where only some are given. */
const defaultTimeSeconds = 7200;
const defaultIntervalSeconds = 75;
const defaultProbes = 9;

function probe(socket: ProbedSocket, { probes, timeSeconds, intervalSeconds }: Keepalive): void {
  const timeMs = (timeSeconds || defaultTimeSeconds) * 1000;
  socket.setKeepAlive(true, timeMs, (intervalSeconds || defaultIntervalSeconds) * 1000, probes || defaultProbes);
}
