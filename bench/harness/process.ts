// Child processes of a benchmark and the CPU time they used.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { connect } from "node:net";

const ticksPerSecond = 100; // USER_HZ on every Linux that Node runs on

export interface BenchProcess {
  readonly pid: number;
  /** CPU seconds of the process and all its descendants, ended ones included. */
  cpuSeconds(): number;
  stop(): Promise<void>;
}

export function startProcess(
  command: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
): BenchProcess {
  const child = spawn(command, args, { stdio: ["ignore", "ignore", "inherit"], env });
  const pid = child.pid ?? 0;
  return {
    pid,
    cpuSeconds: () => treeTicks(pid) / ticksPerSecond,
    stop: () => stopChild(child),
  };
}

export function cpuSecondsOf(processes: readonly BenchProcess[]): number {
  return processes.reduce((sum, process) => sum + process.cpuSeconds(), 0);
}

/** Waits until something accepts on the port. */
export async function waitForPort(port: number, timeoutMs = 10_000): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const socket = connect(port, "127.0.0.1");
    const opened = await Promise.race([
      once(socket, "connect").then(
        () => true,
        () => false,
      ),
      once(socket, "error").then(() => false),
    ]);
    socket.destroy();
    if (opened) return;
    if (Date.now() > deadline) throw new Error(`nothing listens on port ${port} after ${timeoutMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

async function stopChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill("SIGTERM");
  const killer = setTimeout(() => child.kill("SIGKILL"), 5000);
  await once(child, "exit");
  clearTimeout(killer);
}

function treeTicks(root: number): number {
  const childrenByParent = new Map<number, number[]>();
  for (const entry of readdirSync("/proc")) {
    const pid = Number(entry);
    if (!Number.isInteger(pid)) continue;
    const fields = statFields(pid);
    if (fields === undefined) continue;
    const parent = Number(fields[1]);
    childrenByParent.set(parent, [...(childrenByParent.get(parent) ?? []), pid]);
  }
  const sum = (pid: number): number => {
    const fields = statFields(pid);
    const own = fields === undefined ? 0 : Number(fields[11]) + Number(fields[12]);
    return (childrenByParent.get(pid) ?? []).reduce((total, child) => total + sum(child), own);
  };
  return sum(root);
}

// Fields of /proc/PID/stat after the command's closing parenthesis: state, ppid, ..., utime (11), stime (12).
function statFields(pid: number): string[] | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "latin1");
    return text.slice(text.lastIndexOf(")") + 2).split(" ");
  } catch {
    return undefined; // ended meanwhile
  }
}
