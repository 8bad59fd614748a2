// A command in a container by HTTP Upgrade: `GET …/exec?container=c&command=ls&command=-l` with `Upgrade:
// outrigger-exec` is answered with 101, and from then on both sides speak the frames of `#wire/exec/frames.ts`.

import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { ExecChannel, encodeFrame, execProtocol, FrameReader } from "#wire/exec/frames.ts";
import { apiError } from "../../store/errors.ts";
import type { NodeServices } from "../options.ts";
import type { Upgrade } from "./port-forward.ts";

/** Starts the command and connects the client with it. Throws before anything was written. */
export async function exec(node: NodeServices, pod: KubernetesObject, upgrade: Upgrade): Promise<void> {
  const { query, socket } = upgrade;
  if (upgrade.protocol.toLowerCase() !== execProtocol) {
    throw apiError("BAD_REQUEST", `Upgrade: ${upgrade.protocol} is not served: use ${execProtocol}`);
  }
  const command = query.getAll("command");
  if (command.length === 0) throw apiError("BAD_REQUEST", "command is missing");
  const session = await node.exec({ pod, container: query.get("container") ?? "", command });
  const send = (channel: ExecChannel, data: Uint8Array): void => {
    if (!socket.writableEnded && !socket.destroyed) socket.write(encodeFrame(channel, data));
  };
  const reader = new FrameReader((channel, data) => {
    if (channel !== ExecChannel.Input) return;
    if (data.length === 0) session.input.end();
    else session.input.write(data);
  });
  const take = (bytes: Buffer): void => {
    if (!reader.push(bytes)) socket.destroy();
  };
  session.input.on("error", () => {
    // The command reads no more; what it does is told by its exit.
  });
  session.output.on("data", (data: Buffer) => send(ExecChannel.Output, data));
  session.errors.on("data", (data: Buffer) => send(ExecChannel.Errors, data));
  socket.on("error", () => session.kill());
  socket.on("close", () => session.kill());
  socket.on("data", take);
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${execProtocol}\r\n\r\n`);
  if (upgrade.head.length > 0) take(upgrade.head);
  const code = await session.exited;
  send(ExecChannel.ExitCode, Buffer.from(String(code)));
  socket.end();
}
