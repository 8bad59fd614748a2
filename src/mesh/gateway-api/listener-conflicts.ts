// Listeners of one Gateway that cannot share a port: the first one stays, a later one is in conflict.
import type { Listener } from "../objects/fields/listener.ts";
import type { ApiProblem } from "./conditions.ts";

/** By place in the list. */
export function listenerConflicts(listeners: readonly Listener[]): ReadonlyMap<number, ApiProblem> {
  const conflicts = new Map<number, ApiProblem>();
  const accepted: Listener[] = [];
  for (const [index, listener] of listeners.entries()) {
    const winner = accepted.find((earlier) => !areDistinct(earlier, listener));
    if (winner === undefined) accepted.push(listener);
    else conflicts.set(index, conflict(listener, winner));
  }
  return conflicts;
}

function areDistinct(a: Listener, b: Listener): boolean {
  if (a.port !== b.port) return true;
  if (isConnection(a) || isConnection(b)) return false;
  // Bytes on a port are TLS or they are not.
  if ((a.protocol === "HTTP") !== (b.protocol === "HTTP")) return false;
  return a.hostname !== b.hostname;
}

function isConnection({ protocol }: Listener): boolean {
  return protocol === "TCP" || protocol === "UDP";
}

function conflict(listener: Listener, winner: Listener): ApiProblem {
  const isSameProtocol = listener.protocol === winner.protocol && !isConnection(listener);
  const what = isSameProtocol ? `the hostname ${winner.hostname || "*"}` : winner.protocol;
  return {
    reason: isSameProtocol ? "HostnameConflict" : "ProtocolConflict",
    message: `port ${listener.port} already has ${what}, for the listener ${winner.name}`,
  };
}
