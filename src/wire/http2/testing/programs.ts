// Programs that judge or drive HTTP/2 from outside: where they are, and what is needed to run them.
import { accessSync, constants } from "node:fs";
import { createConnection } from "node:net";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";

/** `go install` puts programs into the last one. */
const folders = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/sbin", join(homedir(), "go", "bin")];

/** The environment in which the programs are found. */
export const programEnvironment: NodeJS.ProcessEnv = { ...process.env, PATH: folders.join(delimiter) };

/** Why a test has to be skipped; false: the program is there. */
export function missing(program: string): string | false {
  const found = folders.some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false; // not in this folder
    }
  });
  return found ? false : `${program} is not installed`;
}

/** Waits until something listens on the port. */
export async function listening(port: number): Promise<void> {
  for (;;) {
    const socket = createConnection(port, "127.0.0.1");
    const connected = await new Promise<boolean>((resolve) => {
      socket.on("connect", () => resolve(true));
      socket.on("error", () => resolve(false));
    });
    socket.destroy();
    if (connected) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
