// Ends what a container left behind in other process groups: whoever still is in the pod's network namespace.

import { readdirSync, statSync } from "node:fs";

/** Sends SIGKILL to each process whose network namespace is the file's. */
export function killProcessesIn(namespaceFile: string): void {
  const { ino, dev } = statSync(namespaceFile);
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name) || name === "1" || Number(name) === process.pid) continue;
    try {
      const namespace = statSync(`/proc/${name}/ns/net`);
      if (namespace.ino === ino && namespace.dev === dev) process.kill(Number(name), "SIGKILL");
    } catch {
      // It has ended while we looked.
    }
  }
}
