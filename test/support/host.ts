// What of a mesh can be seen from the host: namespaces, rules, mounts, processes.
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";

export interface HostTraces {
  readonly namespaces: string;
  readonly rules: string;
  readonly mounts: string;
  readonly links: string;
}

export function hostTraces(): HostTraces {
  const run = (file: string, ...args: string[]): string =>
    execFileSync(file, args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  return {
    namespaces: run("ip", "netns", "list"),
    rules: run("iptables-save").replaceAll(/^#.*$|\[\d+:\d+\]/gm, ""),
    mounts: readFileSync("/proc/self/mountinfo", "utf8"),
    links: run("ip", "-o", "link").replaceAll(/^\d+: /gm, ""),
  };
}

export interface HostProcess {
  readonly pid: number;
  readonly command: string;
  readonly environment: string;
}

/** Processes whose command line or environment mentions the text, without this process. */
export function processesWith(text: string): HostProcess[] {
  return readdirSync("/proc").flatMap((entry) => {
    const pid = Number(entry);
    if (!Number.isInteger(pid) || pid === process.pid) return [];
    try {
      const command = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").trim();
      const environment = readFileSync(`/proc/${pid}/environ`, "utf8").replaceAll("\0", "\n");
      return command.includes(text) || environment.includes(text) ? [{ pid, command, environment }] : [];
    } catch {
      return []; // ended meanwhile
    }
  });
}

/** The process and everything that it started, as far as that still has its parent. */
export function descendantsOf(root: number): HostProcess[] {
  const all = processesWith("");
  const parents = new Map(all.map(({ pid }) => [pid, parentOf(pid)]));
  const isBelow = (pid: number): boolean => {
    for (let at = pid; at > 1; at = parents.get(at) ?? 0) if (at === root) return true;
    return false;
  };
  return all.filter(({ pid }) => isBelow(pid));
}

function parentOf(pid: number): number {
  try {
    return Number(/^PPid:\s+(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0);
  } catch {
    return 0; // ended meanwhile
  }
}

/** Kills the process of a pod's container: the pod's name begins with `pod`, the command line holds `command`. */
export function killContainer(pod: string, command: string): void {
  const found = processesWith(`POD_NAME=${pod}`).filter((candidate) => candidate.command.includes(command));
  if (found.length === 0) throw new Error(`no process of pod ${pod} runs ${command}`);
  for (const { pid } of found) process.kill(pid, "SIGKILL");
}
