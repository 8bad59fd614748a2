// A raw stream to a port of a pod by HTTP Upgrade: `GET …/portforward?ports=15000` with `Upgrade: tcp` is answered with
// 101, and from then on the bytes are the pod's.

import type { Duplex } from "node:stream";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { apiError } from "../../store/errors.ts";
import type { NodeServices } from "../options.ts";

export interface Upgrade {
  readonly protocol: string;
  readonly query: URLSearchParams;
  readonly socket: Duplex;
  /** What came after the head of the request already. */
  readonly head: Buffer;
}

/** Connects the client with the pod. Throws before anything was written. */
export async function portForward(node: NodeServices, pod: KubernetesObject, upgrade: Upgrade): Promise<Duplex> {
  if (upgrade.protocol.toLowerCase() !== "tcp") {
    throw apiError("BAD_REQUEST", `Upgrade: ${upgrade.protocol} is not served: use tcp`);
  }
  const port = Number(upgrade.query.get("ports") ?? "");
  if (!Number.isInteger(port) || port < 1 || port > 65_535) throw apiError("BAD_REQUEST", "ports must be one port");
  const target = await node.dial(pod, port);
  const { socket } = upgrade;
  // Either side that fails takes the other with it; there is nobody left to tell.
  target.on("error", () => socket.destroy());
  socket.on("error", () => target.destroy());
  socket.on("close", () => target.destroy());
  target.on("close", () => socket.end());
  socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n");
  if (upgrade.head.length > 0) target.write(upgrade.head);
  socket.pipe(target);
  target.pipe(socket);
  return target;
}
