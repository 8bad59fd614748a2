// The process that runs the mesh of a state directory: found again, and written down.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describeError } from "#base/error.ts";
import { UsageError } from "../../context.ts";

/** Its process id; undefined when there is none, whatever an earlier run left in the directory. */
export function runningPid(stateDirectory: string): number | undefined {
  const file = pidFile(stateDirectory);
  if (!existsSync(file)) return undefined;
  const pid = Number(readFileSync(file, "utf8").trim());
  if (!Number.isInteger(pid) || pid <= 0 || pid === process.pid) return undefined;
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("outrigger") ? pid : undefined;
  } catch {
    return undefined; // that process has ended
  }
}

/** Makes the directory and writes this process down; returns the file to remove at the end. */
export function claimStateDirectory(stateDirectory: string): string {
  const file = pidFile(stateDirectory);
  try {
    mkdirSync(stateDirectory, { recursive: true, mode: 0o700 });
    writeFileSync(file, `${process.pid}\n`);
  } catch (error) {
    throw new UsageError(
      `the state directory cannot be used: ${describeError(error)}; choose another with --state-dir`,
    );
  }
  return file;
}

function pidFile(stateDirectory: string): string {
  return join(stateDirectory, "up.pid");
}
