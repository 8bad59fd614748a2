// Runs a container's process: enters the pod's network, copies the node's mount namespace and mounts the container's own
// files, sets the host name, drops user and capabilities, and becomes the command. One process from beginning to end.
//
// Variables of the pod must reach the command but no program that still runs with the node's rights (LD_PRELOAD), and no
// argument list that others could read: they travel under other names and get their own after the rights are dropped.

import { type ChildProcess, spawn } from "node:child_process";
import type { ExecSession } from "../apiserver/options.ts";
import { systemPath } from "../network/run-command.ts";
import { type ContainerIdentity, setprivArguments } from "./container-identity.ts";
import type { Environment } from "./environment.ts";
import { runtimeExit } from "./runtime-exit.ts";

export interface Launch {
  readonly command: readonly string[];
  readonly environment: Environment;
  readonly workingDir: string;
  readonly identity: ContainerIdentity;
  readonly hostname: string;
  /** Namespace files for `nsenter`. */
  readonly network: string;
  readonly mounts: string;
  /** File for `mount -a`. */
  readonly mountTableFile: string;
  readonly onOutput: (stream: "stdout" | "stderr", chunk: Buffer) => void;
}

export interface ContainerExit {
  /** 128 + n after signal n, as shells have it. */
  readonly code: number;
  readonly signal: NodeJS.Signals | undefined;
}

export interface ContainerProcess {
  readonly pid: number;
  readonly exited: Promise<ContainerExit>;
  /** Reaches every process of the container's group. */
  kill(signal: NodeJS.Signals): void;
  /** Runs a command beside it, in its namespaces and with its rights. */
  exec(command: readonly string[], timeoutMs: number): Promise<ExecResult>;
  /** The same, with its input and output in the caller's hands. */
  attach(command: readonly string[]): ExecSession;
}

interface ExecResult {
  readonly code: number;
  /** Both streams, the first 10 KB. */
  readonly output: string;
  readonly timedOut: boolean;
}

/** In a user namespace the file is not ours to write, but the system call is ours to make. */
const setHostname = `{ echo "$1" > /proc/sys/kernel/hostname; } 2>/dev/null || hostname "$1"`;
const setup = `${setHostname}; mount -a -T "$2" && cd "$3" || exit ${runtimeExit}; shift 3; exec "$@"`;
const maxExecOutput = 10_240;
const lastWordsMs = 250;
/** Names that a shell cannot export, or keeps for itself, go through `env`. */
const shellName = /^(?!(?:UID|EUID|PPID|OPTIND|LINENO|BASHOPTS|SHELLOPTS|BASH_VERSINFO)$)[A-Za-z_][A-Za-z0-9_]*$/;

/** Resolves when the process exists; its set-up may still end with `runtimeExit` and words on stderr. */
export function launchContainer(launch: Launch): Promise<ContainerProcess> {
  const { program, transport } = dropAndRun(launch, launch.command);
  const argv = [
    `--mount=${launch.mounts}`,
    `--net=${launch.network}`,
    "--",
    ...ownNamespaces,
    ...inShell(setup, launch.hostname, launch.mountTableFile, launch.workingDir),
    ...program,
  ];
  const child = spawn("nsenter", argv, { cwd: "/", detached: true, env: transport, stdio: ["ignore", "pipe", "pipe"] });
  child.stdout.on("data", (chunk: Buffer) => launch.onOutput("stdout", chunk));
  child.stderr.on("data", (chunk: Buffer) => launch.onOutput("stderr", chunk));
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("spawn", () => {
      child.off("error", reject);
      child.on("error", () => {
        // A signal that could not be sent: the process has ended, and `exit` says so.
      });
      const pid = child.pid ?? 0;
      resolve({
        pid,
        exited: exitOf(child),
        kill: (signal) => killGroup(pid, signal),
        exec: (command, timeoutMs) => execBeside(launch, pid, command, timeoutMs),
        attach: (command) => attachBeside(launch, pid, command),
      });
    });
  });
}

const ownNamespaces = ["unshare", "--mount", "--uts", "--ipc", "--propagation", "unchanged", "--"];

/** A script with its arguments; what follows becomes the rest of them. */
function inShell(script: string, ...words: string[]): string[] {
  return ["sh", "-c", script, "sh", ...words];
}

/** The command behind `setpriv`, and the environment that carries its variables under neutral names. */
function dropAndRun(
  launch: Launch,
  command: readonly string[],
): { program: string[]; transport: Record<string, string> } {
  const transport: Record<string, string> = { PATH: systemPath, LC_ALL: "C" };
  const exported: string[] = [];
  const viaEnv: string[] = [];
  for (const [name, value] of launch.environment) {
    const carrier = `OUTRIGGER_${exported.length + viaEnv.length}`;
    transport[carrier] = `${name}=${value}`;
    (shellName.test(name) ? exported : viaEnv).push(carrier);
  }
  const script = [
    "unset LC_ALL",
    ...exported.map((carrier) => `export "$${carrier}"; unset ${carrier}`),
    viaEnv.length === 0
      ? 'exec "$@"'
      : `exec env ${viaEnv.map((carrier) => `-u ${carrier} "$${carrier}"`).join(" ")} "$@"`,
  ].join("\n");
  return {
    program: ["setpriv", ...setprivArguments(launch.identity), "--", ...inShell(script, ...command)],
    transport,
  };
}

function exitOf(child: ChildProcess): Promise<ContainerExit> {
  return new Promise((resolve) => {
    child.once("exit", (code, signal) => {
      // Whatever the command started and left behind goes with it.
      killGroup(child.pid ?? 0, "SIGKILL");
      const end = (): void => resolve({ code: code ?? 128 + signalNumber(signal), signal: signal ?? undefined });
      // Its last words may still be in the pipes; somebody in another process group could hold them open.
      const timer = setTimeout(end, lastWordsMs);
      child.once("close", () => {
        clearTimeout(timer);
        end();
      });
    });
  });
}

const signalNumbers: Readonly<Record<string, number>> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGABRT: 6,
  SIGKILL: 9,
  SIGSEGV: 11,
  SIGTERM: 15,
};

function signalNumber(signal: string | null): number {
  return signalNumbers[signal ?? ""] ?? 9;
}

function killGroup(pid: number, signal: NodeJS.Signals): void {
  if (pid <= 1) return;
  try {
    process.kill(-pid, signal);
  } catch {
    // The group is empty by now.
  }
}

function execBeside(launch: Launch, pid: number, command: readonly string[], timeoutMs: number): Promise<ExecResult> {
  const session = attachBeside(launch, pid, command);
  session.input.end();
  let output = "";
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    session.kill();
  }, timeoutMs);
  const collect = (chunk: Buffer): void => {
    if (output.length < maxExecOutput) output = (output + String(chunk)).slice(0, maxExecOutput);
  };
  session.output.on("data", collect);
  session.errors.on("data", collect);
  return session.exited.then((code) => {
    clearTimeout(timer);
    return { code, output, timedOut };
  });
}

function attachBeside(launch: Launch, pid: number, command: readonly string[]): ExecSession {
  const { program, transport } = dropAndRun(launch, command);
  const enter = ["mnt", "uts", "ipc"].map((kind) => `--${kind === "mnt" ? "mount" : kind}=/proc/${pid}/ns/${kind}`);
  const inFolder = ["sh", "-c", 'cd "$1"; shift; exec "$@"', "sh", launch.workingDir, ...program];
  const argv = [...enter, `--net=${launch.network}`, "--", ...inFolder];
  const child = spawn("nsenter", argv, { cwd: "/", detached: true, env: transport, stdio: ["pipe", "pipe", "pipe"] });
  child.stdin.on("error", () => {
    // The command has closed its input.
  });
  return {
    input: child.stdin,
    output: child.stdout,
    errors: child.stderr,
    exited: new Promise((resolve) => {
      child.once("error", () => resolve(runtimeExit));
      child.once("close", (code, signal) => resolve(code ?? 128 + signalNumber(signal)));
    }),
    kill: () => killGroup(child.pid ?? 0, "SIGKILL"),
  };
}
