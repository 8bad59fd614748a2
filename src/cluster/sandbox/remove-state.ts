// Removes a state directory. For an ordinary user it holds compile caches that belong to the ids of pods, which only a
// user namespace with the same mapping may remove.

import { rmSync } from "node:fs";
import { runCommand } from "../network/run-command.ts";

/** Everything in it is lost: database, logs, caches. No cluster may be running in it. */
export async function removeStateDirectory(path: string): Promise<void> {
  if (process.getuid?.() === 0) {
    rmSync(path, { recursive: true, force: true });
    return;
  }
  await runCommand("unshare", ["--user", "--map-root-user", "--map-auto", "--", "rm", "-rf", "--", path], {
    timeoutMs: 60_000,
  });
}
