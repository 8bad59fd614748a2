// The host's side: starts the sandbox, a process in network, mount and PID namespaces of its own, hands it options and
// listening sockets of the host, and ends it. Nothing of the cluster exists outside: when the sandbox's first process
// ends, in whatever way, the kernel removes processes, mounts, links and rules. When this process ends, even by
// kill -9, the kernel ends the sandbox.

import { type ChildProcess, spawn } from "node:child_process";
import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { mkdirSync, readdirSync, readFileSync, readlinkSync, realpathSync, statSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { dirname, join } from "node:path";
import type { Running } from "#base/lifecycle.ts";
import type { Logger } from "#base/log/log.ts";
import { createDialer, type Dial, type DialerOptions } from "../egress/dialer.ts";
import { systemPath } from "../network/run-command.ts";
import { isIpv4 } from "../network/service-endpoints.ts";
import { sandboxError } from "./errors.ts";
import type { DialMessage, ForwardTarget, HostMessage, Resolver, SandboxMessage } from "./messages.ts";
import { type Exposure, type HostView, rootFileSystemScript } from "./root-file-system.ts";

export interface HostPort {
  readonly host: string;
  /** 0 picks one. */
  readonly port: number;
  readonly target: ForwardTarget;
}

export interface SandboxOptions {
  /** The command that runs inside, as `[process.execPath, "bin/outrigger.ts", "cluster"]`; it calls `openSandboxChannel`. */
  readonly entry: readonly string[];
  /** Handed to the entry as `channel.options`: JSON. */
  readonly options: unknown;
  /** Made when absent, mode 0700; the only place outside that the sandbox can write to. */
  readonly stateDirectory: string;
  /** The working folder of the entry. */
  readonly packageRoot: string;
  /** Further folders that pods may read (those of images.yaml). The package and Node.js are always there. */
  readonly directories?: readonly string[];
  readonly ports?: readonly HostPort[];
  /** The way out, from the host's network. Absent: nothing outside of the sandbox can be reached. */
  readonly egress?: DialerOptions;
  /** The whole environment of the entry, besides PATH. */
  readonly env?: Readonly<Record<string, string>>;
  readonly log: Logger;
  /** What the sandbox itself writes to stdout and stderr, in pieces as they come. */
  readonly onOutput?: (text: string) => void;
  /** What the entry sent with `channel.send`. */
  readonly onEvent?: (event: unknown) => void;
}

interface SandboxExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** Whether it was asked to stop. */
  readonly expected: boolean;
  /** The end of what it wrote, to say why. */
  readonly output: string;
}

export interface Sandbox extends Running {
  /** Of the outermost process; its death ends everything. */
  readonly pid: number;
  /** In the order of `options.ports`: what each one got. */
  readonly ports: readonly number[];
  /** Resolves when the last process of the sandbox has ended. */
  readonly exited: Promise<SandboxExit>;
  /** Asks for an orderly end and waits at most so long (default 40 s), then ends it at once. */
  stop(deadlineMs?: number): Promise<void>;
  /** Ends everything now. */
  kill(): void;
}

const startTimeoutMs = 30_000;
/** How long the entry may take from its last word to its exit: it writes its compile cache. */
const lingerMs = 1_500;

/** Resolves when the entry runs. Throws SANDBOX_FAILED with what it said, or PORT_TAKEN for a port of the host. */
export async function startSandbox(options: SandboxOptions): Promise<Sandbox> {
  mkdirSync(options.stateDirectory, { recursive: true, mode: 0o700 });
  const listeners = await listenAll(options.ports ?? []);
  const child = spawnSandbox(options);
  let isExpected = false;
  let output = "";
  const collect = (chunk: Buffer): void => {
    const text = String(chunk);
    output = (output + text).slice(-16_384);
    options.onOutput?.(text);
  };
  child.stdout?.on("data", collect);
  child.stderr?.on("data", collect);
  const exited = new Promise<SandboxExit>((resolve) => {
    child.once("error", (error) => resolve({ code: null, signal: null, expected: false, output: error.message }));
    child.once("close", (code, signal) => resolve({ code, signal, expected: isExpected, output }));
  });
  void exited.then(() => closeAll(listeners));
  const kill = (): void => {
    isExpected = true;
    child.kill("SIGKILL");
  };
  const pid = child.pid;
  try {
    await becomesUp(child, exited);
    if (pid === undefined) throw sandboxError("SANDBOX_FAILED", "the sandbox has no process");
    await handOverResolver(child);
    await send(child, { kind: "start", options: options.options });
    const ports = listeners.map((listener) => listener.port);
    await Promise.all(listeners.map((listener) => handOver(child, listener)));
    const dial = options.egress === undefined ? undefined : createDialer(options.egress);
    child.on("message", (message: SandboxMessage) => {
      if (message.kind === "dial" && dial !== undefined) void answerDial(child, dial, message);
      if (message.kind === "event") options.onEvent?.(message.event);
      // All has ended in order; whatever still keeps the process must not keep us.
      if (message.kind === "stopped") {
        isExpected = true;
        setTimeout(() => child.kill("SIGKILL"), lingerMs).unref();
      }
    });
    const stop = async (deadlineMs = 40_000): Promise<void> => {
      isExpected = true;
      if (child.connected) await send(child, { kind: "stop" }).catch(() => child.kill("SIGKILL"));
      else child.kill("SIGKILL");
      const timer = setTimeout(() => {
        options.log.warn(`the cluster did not end within ${deadlineMs / 1000} s and is ended now`);
        child.kill("SIGKILL");
      }, deadlineMs);
      await exited;
      clearTimeout(timer);
    };
    return { pid, ports, exited, stop, kill };
  } catch (error) {
    kill();
    closeAll(listeners);
    await exited;
    throw error;
  }
}

function spawnSandbox(options: SandboxOptions): ChildProcess {
  const rootless = process.getuid?.() !== 0;
  const script = `${rootFileSystemScript(hostView(), { exposures: exposuresOf(options), rootless })}
cd "$1"
shift
# The shell stays as first process and reaps what pods leave behind; all ends with the entry.
"$@" &
wait "$!"
exit "$?"
`;
  const flags = ["--net", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child=SIGKILL", "--mount-proc"];
  if (rootless) flags.unshift("--user", "--map-root-user", "--map-auto");
  // The script goes through the environment, so that `ps` shows something that a person can read.
  const start = 'script=$OUTRIGGER_SANDBOX; unset OUTRIGGER_SANDBOX; eval "$script"';
  const command = ["unshare", ...flags, "sh", "-c", start, "outrigger", options.packageRoot, ...options.entry];
  // The kernel kills what `setpriv` becomes when this process dies, and with it the whole PID namespace.
  return spawn("setpriv", ["--pdeathsig", "KILL", "--", ...command], {
    cwd: "/",
    // A session of its own: Ctrl-C in the terminal is for the command line to decide about.
    detached: true,
    env: { ...options.env, PATH: systemPath, OUTRIGGER_SANDBOX: script },
    stdio: ["ignore", "pipe", "pipe", "ipc"],
    serialization: "json",
  });
}

function exposuresOf(options: SandboxOptions): Exposure[] {
  const folders = [options.packageRoot, dirname(process.execPath), ...(options.directories ?? [])];
  return [
    ...[...new Set(folders.map((folder) => realpathSync(folder)))].map((path) => ({ path })),
    { path: realpathSync(options.stateDirectory), writable: true },
  ];
}

function hostView(): HostView {
  const topLevel = readdirSync("/", { withFileTypes: true }).flatMap((entry): HostView["topLevel"] => {
    const { name } = entry;
    if (entry.isSymbolicLink()) return [{ name, kind: "link", target: readlinkSync(join("/", name)) }];
    return entry.isDirectory() ? [{ name, kind: "directory" }] : [];
  });
  return {
    topLevel,
    mountInfo: readFileSync("/proc/self/mountinfo", "utf8"),
    isTraversable: (path) => (statSync(path).mode & 0o001) !== 0,
    isDirectory: (path) => statSync(path, { throwIfNoEntry: false })?.isDirectory() === true,
  };
}

async function becomesUp(child: ChildProcess, exited: Promise<SandboxExit>): Promise<void> {
  const up = new Promise<"up">((resolve) => {
    const onMessage = (message: SandboxMessage): void => {
      if (message.kind !== "up") return;
      child.off("message", onMessage);
      resolve("up");
    };
    child.on("message", onMessage);
  });
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<"late">((resolve) => {
    timer = setTimeout(() => resolve("late"), startTimeoutMs);
  });
  const first = await Promise.race([up, late, exited]);
  clearTimeout(timer);
  if (first === "up") return;
  if (first === "late") {
    throw sandboxError("SANDBOX_FAILED", `the cluster's process did not start within ${startTimeoutMs / 1000} s`);
  }
  const said = first.output.trim() === "" ? `exit code ${first.code}, signal ${first.signal}` : first.output.trim();
  throw sandboxError("SANDBOX_FAILED", `the sandbox did not start: ${said}`);
}

/** Names outside the cluster are asked of the host's resolvers, from the host's network. */
async function handOverResolver(child: ChildProcess): Promise<void> {
  const resolvers = hostResolvers(readResolvConf());
  if (resolvers.length === 0) return;
  const socket = createSocket("udp4");
  await new Promise<void>((resolve) => socket.bind(0, () => resolve()));
  await send(child, { kind: "resolvers", resolvers }, socket);
  socket.close();
}

function readResolvConf(): string {
  try {
    return readFileSync("/etc/resolv.conf", "utf8");
  } catch {
    return ""; // a host without one resolves nothing itself
  }
}

/** The IPv4 name servers of a resolv.conf. */
export function hostResolvers(resolvConf: string): Resolver[] {
  return [...resolvConf.matchAll(/^\s*nameserver\s+(\S+)/gm)]
    .map((match) => match[1] ?? "")
    .filter(isIpv4)
    .slice(0, 3)
    .map((address) => ({ address, port: 53 }));
}

async function answerDial(child: ChildProcess, dial: Dial, { id, address, port }: DialMessage): Promise<void> {
  const result = await dial({ address, port });
  const [socket, failure] = "socket" in result ? [result.socket] : [undefined, result.failure];
  await send(child, { kind: "dialed", id, ...(failure !== undefined && { failure }) }, socket).catch(() => {
    socket?.destroy(); // the sandbox has ended meanwhile
  });
}

function send(child: ChildProcess, message: HostMessage, handle?: Server | Socket | UdpSocket): Promise<void> {
  return new Promise((resolve, reject) => {
    child.send(message, handle, { keepOpen: false }, (error) => (error === null ? resolve() : reject(error)));
  });
}

interface Listener {
  readonly server: Server;
  readonly port: number;
  readonly target: ForwardTarget;
  /** Accepted before the sandbox could. */
  readonly early: Socket[];
}

async function listenAll(ports: readonly HostPort[]): Promise<Listener[]> {
  const results = await Promise.allSettled(ports.map(listen));
  const listeners = results.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
  const failure = results.find((result) => result.status === "rejected");
  if (failure === undefined) return listeners;
  closeAll(listeners);
  throw failure.reason;
}

function listen(port: HostPort): Promise<Listener> {
  return new Promise((resolve, reject) => {
    const early: Socket[] = [];
    const server = createServer({ pauseOnConnect: true, allowHalfOpen: true }, (socket) => early.push(socket));
    server.once("error", (cause) => {
      const place = `${port.host}:${port.port}`;
      reject(sandboxError("PORT_TAKEN", `cannot listen on ${place}: ${cause.message}`, cause));
    });
    server.listen({ host: port.host, port: port.port, backlog: 1024 }, () => {
      const address = server.address();
      const got = typeof address === "object" && address !== null ? address.port : port.port;
      resolve({ server, port: got, target: port.target, early });
    });
  });
}

/** From here on the sandbox accepts; this process keeps no part in the port. */
async function handOver(child: ChildProcess, listener: Listener): Promise<void> {
  const { server, target, early } = listener;
  await send(child, { kind: "listener", target }, server);
  server.close();
  for (const socket of early) await send(child, { kind: "connection", target }, socket);
}

function closeAll(listeners: readonly Listener[]): void {
  for (const { server, early } of listeners) {
    server.close();
    for (const socket of early) socket.destroy();
  }
}
