// The agent's Unix socket for secrets, where an Envoy of the pod, or anything else that speaks SDS, gets the workload's
// certificate. Who can open it can act as the workload: it is for the proxy's own user and group, in a volume that only
// the proxy's container mounts.
import { chmodSync, existsSync, rmSync } from "node:fs";
import { createConnection } from "node:net";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { OutriggerError } from "#base/error.ts";
import type { Running } from "#base/lifecycle.ts";
import { createSecretHandlers, type SecretServiceOptions, secretService } from "./secret-service.ts";

const mode = 0o660;
const maxStreams = 128;
const connectTimeoutMs = 2000;

/** Throws SDS_LISTEN. A socket that nobody serves any more is replaced. */
export async function startSecretServer(socket: string, options: SecretServiceOptions): Promise<Running> {
  const server = new Server({
    "grpc.max_receive_message_length": 256 * 1024,
    "grpc.max_concurrent_streams": maxStreams,
  });
  server.addService(secretService, createSecretHandlers(options));
  rmSync(socket, { force: true });
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix:${socket}`, ServerCredentials.createInsecure(), (cause) => {
      if (cause === null) resolve();
      else reject(new OutriggerError("SDS_LISTEN", `${socket} cannot be opened`, { cause }));
    });
  });
  chmodSync(socket, mode);
  return {
    stop: async () => {
      server.forceShutdown();
      rmSync(socket, { force: true });
    },
  };
}

/** Whether somebody serves the socket. */
export function isServed(socket: string): Promise<boolean> {
  if (!existsSync(socket)) return Promise.resolve(false);
  return new Promise((resolve) => {
    const connection = createConnection(socket);
    const end = (served: boolean) => (): void => {
      connection.destroy();
      resolve(served);
    };
    connection.setTimeout(connectTimeoutMs, end(false));
    connection.once("connect", end(true));
    connection.once("error", end(false));
  });
}
