// Runs one short system command (ip, iptables-restore, ...) with input and a deadline.

import { spawn } from "node:child_process";
import { sandboxError } from "../sandbox/errors.ts";

export interface CommandOptions {
  readonly input?: string;
  /** Default 10 s; then SIGKILL. */
  readonly timeoutMs?: number;
}

/** The search path of system tools, whatever the user's own PATH is. */
export const systemPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const maxOutputBytes = 1 << 20;

/** Resolves to stdout. Throws COMMAND_FAILED with the command's own words. */
export function runCommand(file: string, args: readonly string[], options: CommandOptions = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { env: { PATH: systemPath, LC_ALL: "C" }, stdio: ["pipe", "pipe", "pipe"] });
    const timer = setTimeout(() => child.kill("SIGKILL"), options.timeoutMs ?? 10_000);
    let stdout = "";
    let stderr = "";
    child.stdout.on("data", (chunk: Buffer) => {
      if (stdout.length < maxOutputBytes) stdout += String(chunk);
    });
    child.stderr.on("data", (chunk: Buffer) => {
      if (stderr.length < maxOutputBytes) stderr += String(chunk);
    });
    child.on("error", (cause) => {
      clearTimeout(timer);
      reject(sandboxError("COMMAND_FAILED", `${file} did not start`, cause));
    });
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      if (code === 0) return resolve(stdout);
      const end = signal === null ? `ended with ${code}` : `was ended by ${signal}`;
      const words = stderr.trim().replaceAll("\n", "; ");
      reject(sandboxError("COMMAND_FAILED", `${file} ${args.join(" ")} ${end}: ${words}`));
    });
    child.stdin.on("error", () => {
      // The command ended without reading all of its input; its exit code says what that means.
    });
    child.stdin.end(options.input ?? "");
  });
}
