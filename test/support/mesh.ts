// The language of the end-to-end tests: a real `outrigger up` on a copy of some files, with a state directory of its
// own, and the commands that a user would type.
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { chownSync, cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { get, request } from "node:http";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";

export const projectRoot: string = join(import.meta.dirname, "../..");
const outrigger = join(projectRoot, "bin/outrigger");
const startTimeoutMs = 240_000;

export interface CommandResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface MeshOptions {
  /** Directories, relative to the project, that are copied into the mesh's configuration under their last name. */
  readonly copy: readonly string[];
  /** Further files of the configuration: name → text. */
  readonly files?: Readonly<Record<string, string>>;
  /** Pods reach what is outside of the cluster; otherwise a test sends nothing to anybody. */
  readonly egress?: boolean;
  /** What the command of `up` begins with, to run it elsewhere or as somebody else. */
  readonly prefix?: (folder: string) => readonly string[];
  /** Owns the mesh's folder. */
  readonly owner?: number;
  /** Further flags of `up`. */
  readonly flags?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** The folder of an earlier mesh that was stopped with `keep`. */
  readonly folder?: string;
}

export class TestMesh {
  readonly folder: string;
  /** `http://127.0.0.1:<port>` */
  gateway = "";
  /** Everything that `up` wrote to stderr. */
  output = "";
  readonly #child: ChildProcess;
  readonly #exited: Promise<unknown>;

  private constructor(folder: string, child: ChildProcess) {
    this.folder = folder;
    this.#child = child;
    this.#exited = once(child, "exit");
    child.stderr?.on("data", (chunk: Buffer) => {
      this.output += String(chunk);
    });
  }

  /** Starts and waits until every workload is ready. */
  static async start(options: MeshOptions): Promise<TestMesh> {
    const folder = options.folder ?? mkdtempSync(join(tmpdir(), "outrigger-e2e-"));
    const config = join(folder, "config");
    mkdirSync(config, { recursive: true });
    for (const path of options.copy) cpSync(join(projectRoot, path), join(config, basename(path)), { recursive: true });
    for (const [name, text] of Object.entries(options.files ?? {})) writeConfig(config, name, text);
    if (options.owner !== undefined) giveTo(folder, options.owner);
    const flags = [...(options.egress === true ? [] : ["--no-egress"]), ...(options.flags ?? [])];
    const args = [outrigger, "up", "-f", "config", "--watch", "--gateway-port", "0", "-o", "json", ...flags];
    const [file = "", ...rest] = [...(options.prefix?.(folder) ?? []), ...args];
    const child = spawn(file, rest, {
      cwd: folder,
      env: { ...meshEnvironment(folder), ...options.env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const mesh = new TestMesh(folder, child);
    try {
      await mesh.#ready();
      return mesh;
    } catch (error) {
      await mesh.stop("SIGKILL");
      throw error;
    }
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** The environment that makes a command of the CLI speak to this mesh. */
  get environment(): NodeJS.ProcessEnv {
    return meshEnvironment(this.folder);
  }

  async #ready(): Promise<void> {
    let text = "";
    const line = new Promise<string>((resolve) => {
      this.#child.stdout?.on("data", (chunk: Buffer) => {
        text += String(chunk);
        if (text.includes("\n")) resolve(text.slice(0, text.indexOf("\n")));
      });
    });
    const late = new AbortController();
    const first = await Promise.race([
      line,
      this.#exited.then(() => ""),
      after(startTimeoutMs, late.signal).then(() => ""),
    ]);
    late.abort();
    if (first === "") throw new Error(`the mesh did not start:\n${this.output}`);
    this.gateway = (JSON.parse(first) as { gateway: string }).gateway;
  }

  /** Runs a command of the CLI against this mesh. */
  run(...args: string[]): Promise<CommandResult> {
    return runCommand(outrigger, args, { cwd: this.folder, env: meshEnvironment(this.folder) });
  }

  /** Runs a command in a container, as `kubectl exec` does. */
  exec(pod: string, container: string, ...command: string[]): Promise<CommandResult> {
    return this.run("exec", pod, "-c", container, "--", ...command);
  }

  /** Reads from the cluster's API, as its administrator. */
  async api(path: string): Promise<unknown> {
    return JSON.parse(await this.#read(path));
  }

  /** The log of a container in every pod that the labels select; costs no process of the CLI. */
  async log(labels: string, container: string, namespace = "default"): Promise<string> {
    const pods = `/api/v1/namespaces/${namespace}/pods`;
    const list = (await this.api(`${pods}?labelSelector=${encodeURIComponent(labels)}`)) as {
      readonly items: readonly { readonly metadata: { readonly name: string } }[];
    };
    const texts = list.items.map(({ metadata }) => this.#read(`${pods}/${metadata.name}/log?container=${container}`));
    return (await Promise.all(texts)).join("");
  }

  #read(path: string): Promise<string> {
    return new Promise((resolve, reject) => {
      const outgoing = get({ socketPath: join(this.folder, "state/api.sock"), path }, (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.once("end", () => resolve(Buffer.concat(chunks).toString()));
      });
      outgoing.once("error", reject);
    });
  }

  /** Changes something by the cluster's API, as its administrator; a PATCH is a merge patch. */
  write(method: "POST" | "PATCH" | "DELETE", path: string, body?: unknown): Promise<{ status: number; body: string }> {
    const type = method === "PATCH" ? "application/merge-patch+json" : "application/json";
    const socketPath = join(this.folder, "state/api.sock");
    return new Promise((resolve, reject) => {
      const outgoing = request({ socketPath, path, method, headers: { "content-type": type } }, (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.once("end", () =>
          resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() }),
        );
      });
      outgoing.once("error", reject);
      outgoing.end(body === undefined ? undefined : JSON.stringify(body));
    });
  }

  readConfig(name: string): string {
    return readFileSync(join(this.folder, "config", name), "utf8");
  }

  /** Saves a file of the configuration, which `--watch` applies. */
  writeConfig(name: string, text: string): void {
    writeConfig(join(this.folder, "config"), name, text);
  }

  editConfig(name: string, change: (text: string) => string): void {
    const before = this.readConfig(name);
    const text = change(before);
    if (text === before) throw new Error(`the edit of ${name} changed nothing`);
    this.writeConfig(name, text);
  }

  removeConfig(name: string): void {
    rmSync(join(this.folder, "config", name));
  }

  /** Ends the mesh; with `keep` its files and state stay for the next one. */
  async stop(signal: NodeJS.Signals = "SIGINT", keep = false): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.#child.kill(signal);
    await this.#exited;
    if (!keep) rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Waits until the condition gives a value that is not undefined; the error names what was waited for. */
export async function eventually<T>(
  what: string,
  condition: () => Promise<T | undefined> | T | undefined,
  timeoutMs = 30_000,
): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const value = await condition();
    if (value !== undefined) return value;
    if (Date.now() > deadline) throw new Error(`${what}: not seen within ${timeoutMs / 1000} s`);
    await after(50);
  }
}

export function runCommand(
  file: string,
  args: readonly string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv } = {},
): Promise<CommandResult> {
  return new Promise((resolve) => {
    execFile(
      file,
      [...args],
      { ...options, maxBuffer: 64 * 1024 * 1024, timeout: 120_000 },
      (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === "number" ? error.code : 1;
        resolve({ code, stdout, stderr });
      },
    );
  });
}

/** Resolves after the time, or at once when aborted. */
function after(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}

function giveTo(folder: string, owner: number): void {
  for (const entry of ["", ...(readdirSync(folder, { recursive: true }) as string[])]) {
    chownSync(join(folder, entry), owner, owner);
  }
}

function meshEnvironment(folder: string): NodeJS.ProcessEnv {
  return { ...process.env, OUTRIGGER_STATE_DIR: join(folder, "state"), NO_COLOR: "1" };
}

function writeConfig(folder: string, name: string, text: string): void {
  const path = join(folder, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}
