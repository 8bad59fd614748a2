// HOT: per connection. Which listener takes a connection that was redirected: the one on exactly its original
// destination, else the one on every address of that port, else none (the receiving listener keeps it).

import type { Trace } from "../config/trace.ts";
import { addStep } from "../config/trace.ts";
import { formatAddress } from "../transport/connection-info.ts";

/** The key of a listener's address in the map that `selectListener` searches: `0.0.0.0:9080`, `[::]:9080`. */
export function listenerKey(listener: { readonly host: string; readonly port: number }): string {
  return formatAddress(listener.host, listener.port);
}

/** Finds by original destination; the values are whatever the caller keeps for each listener. */
export function selectListener<T>(
  listenersByAddress: ReadonlyMap<string, T>,
  destinationIp: string,
  destinationPort: number,
  trace: Trace | null,
): T | null {
  const exact = formatAddress(destinationIp, destinationPort);
  let found = listenersByAddress.get(exact);
  let address = exact;
  if (found === undefined && destinationIp.includes(":")) {
    address = `[::]:${destinationPort}`;
    found = listenersByAddress.get(address);
  }
  if (found === undefined && !destinationIp.includes(":")) {
    address = `0.0.0.0:${destinationPort}`;
    found = listenersByAddress.get(address);
    if (found === undefined) {
      address = `[::]:${destinationPort}`;
      found = listenersByAddress.get(address);
    }
  }
  if (trace !== null) {
    addStep(trace, "listener", found === undefined ? `none listens for ${exact}` : `${address} takes ${exact}`);
  }
  return found ?? null;
}
