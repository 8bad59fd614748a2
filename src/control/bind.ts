// Opens a listening socket and says where it is.
import type { Server } from "node:net";
import { OutriggerError } from "#base/error.ts";

export interface BoundAddress {
  readonly host: string;
  readonly port: number;
}

/** Port 0 takes a free one. Throws BIND_FAILED. */
export function listenOn(server: Server, host: string, port: number): Promise<BoundAddress> {
  return new Promise((resolve, reject) => {
    const fail = (cause: Error): void =>
      reject(new OutriggerError("BIND_FAILED", `${host}:${port} cannot be opened`, { cause }));
    server.once("error", fail);
    server.listen(port, host, () => {
      server.off("error", fail);
      const address = server.address();
      resolve({ host, port: typeof address === "object" && address !== null ? address.port : port });
    });
  });
}
