// Finds the process that runs the mesh of a state directory.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

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

export function pidFile(stateDirectory: string): string {
  return join(stateDirectory, "up.pid");
}
