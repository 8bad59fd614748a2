// Connects to a port inside a pod's network namespace. A small process enters the namespace, connects, and hands the
// connected socket back: from then on it is a socket of this process like any other.

import { spawn } from "node:child_process";
import type { Socket } from "node:net";
import { systemPath } from "../network/run-command.ts";
import { apiError } from "../store/errors.ts";

const script = `
import { connect } from "node:net";
const socket = connect({ host: "127.0.0.1", port: Number(process.argv[1]), allowHalfOpen: true });
socket.once("error", (error) => process.send({ error: error.message }, () => process.exit(1)));
socket.once("connect", () => process.send({}, socket, {}, () => process.disconnect()));
`;
const timeoutMs = 10_000;

/** Throws UNAVAILABLE when nobody listens there. */
export function dialInNamespace(namespaceFile: string, port: number): Promise<Socket> {
  const node = [process.execPath, "--input-type=module", "-e", script, String(port)];
  const child = spawn("nsenter", [`--net=${namespaceFile}`, "--", ...node], {
    cwd: "/",
    env: { PATH: systemPath },
    stdio: ["ignore", "ignore", "ignore", "ipc"],
  });
  return new Promise((resolve, reject) => {
    const fail = (reason: string): void => {
      clearTimeout(timer);
      reject(apiError("UNAVAILABLE", `no connection to port ${port} in the pod: ${reason}`));
      child.kill("SIGKILL");
    };
    const timer = setTimeout(() => fail(`no answer within ${timeoutMs / 1000} s`), timeoutMs);
    child.once("error", (error) => fail(error.message));
    child.once("exit", () => fail("the helper process ended"));
    child.once("message", (message: { error?: string }, handle) => {
      if (message.error !== undefined || handle === undefined) return fail(message.error ?? "no socket came back");
      clearTimeout(timer);
      const socket = handle as Socket; // the only kind of handle that the script sends
      socket.allowHalfOpen = true;
      resolve(socket);
    });
  });
}
