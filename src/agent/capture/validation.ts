// Proves that capture works, for pods whose rules a CNI plugin wrote: a connection to a port where nobody listens
// must arrive at the proxy's port. It stands in for the proxy, which does not run yet.

import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { OutriggerError } from "#base/error.ts";

export interface ValidationOptions {
  readonly proxyPort: number;
  readonly inboundCapturePort: number;
  readonly probePort: number;
  readonly timeoutMs: number;
  /** An address of the pod that is not the loopback. */
  readonly address: string;
}

const greeting = "captured\n";

export async function validateCapture(options: ValidationOptions): Promise<void> {
  const servers: Server[] = [];
  try {
    for (const port of [options.proxyPort, options.inboundCapturePort]) servers.push(await answerOn(port));
    const answer = await ask(options);
    if (answer !== greeting) {
      throw new OutriggerError(
        "CAPTURE_NOT_WORKING",
        `a connection to ${options.address}:${options.probePort} did not arrive at ports ${options.proxyPort} or ${options.inboundCapturePort}`,
      );
    }
  } finally {
    for (const server of servers) server.close();
  }
}

async function answerOn(port: number): Promise<Server> {
  const server = createServer((socket) => {
    socket.on("error", () => socket.destroy());
    socket.end(greeting);
  });
  server.listen(port);
  await once(server, "listening");
  return server;
}

/** What came back; empty when nothing did. */
function ask(options: ValidationOptions): Promise<string> {
  return new Promise((resolve) => {
    let text = "";
    const socket: Socket = connect({ host: options.address, port: options.probePort });
    socket.setTimeout(options.timeoutMs, () => socket.destroy());
    socket.on("data", (chunk: Buffer) => {
      if (text.length < greeting.length) text += chunk.toString("latin1");
    });
    socket.on("error", () => socket.destroy());
    socket.on("close", () => resolve(text));
  });
}
