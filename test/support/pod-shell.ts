// A shell in a container that stays open, so that a test can run many commands without a process of the CLI for each.
import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { type CommandResult, projectRoot, type TestMesh } from "./mesh.ts";

const endMark = "-- end of command --";

export class PodShell {
  readonly #child: ChildProcess;
  #stdout = "";
  #stderr = "";
  #wake: () => void = () => undefined;
  #queue: Promise<unknown> = Promise.resolve();

  private constructor(child: ChildProcess) {
    this.#child = child;
    const seen = (): void => this.#wake();
    child.stdout?.on("data", (chunk: Buffer) => {
      this.#stdout += chunk.toString("latin1");
      seen();
    });
    child.stderr?.on("data", (chunk: Buffer) => {
      this.#stderr += chunk.toString("latin1");
      seen();
    });
    child.once("exit", seen);
  }

  static async open(mesh: TestMesh, pod: string, container: string): Promise<PodShell> {
    const child = spawn(join(projectRoot, "bin/outrigger"), ["exec", "-i", pod, "-c", container, "--", "sh"], {
      cwd: mesh.folder,
      env: mesh.environment,
      stdio: ["pipe", "pipe", "pipe"],
    });
    const shell = new PodShell(child);
    await shell.run("true");
    return shell;
  }

  /** Runs a script; one after the other. Output is read as Latin-1, one character for each byte. */
  run(script: string): Promise<CommandResult> {
    const result = this.#queue.then(() => this.#run(script));
    this.#queue = result.catch(() => undefined);
    return result;
  }

  async close(): Promise<void> {
    this.#child.stdin?.end();
    if (this.#child.exitCode === null) await new Promise((resolve) => this.#child.once("exit", resolve));
  }

  async #run(script: string): Promise<CommandResult> {
    this.#stdout = "";
    this.#stderr = "";
    const mark = `printf '\\n%s %s\\n' '${endMark}' $?; printf '\\n%s\\n' '${endMark}' >&2\n`;
    this.#child.stdin?.write(`( ${script}\n) </dev/null; ${mark}`);
    while (!this.#stdout.includes(`\n${endMark} `) || !this.#stderr.includes(`\n${endMark}\n`)) {
      if (this.#child.exitCode !== null) throw new Error(`the shell has ended: ${this.#stderr}`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const [stdout = "", code = ""] = this.#stdout.split(`\n${endMark} `);
    return { code: Number(code), stdout, stderr: this.#stderr.split(`\n${endMark}\n`)[0] ?? "" };
  }
}

export interface CurlAnswer {
  /** 0 when curl got no answer. */
  readonly status: number;
  /** Lower-case names; values of a repeated header are joined with ", ". */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** What curl said when it got no answer. */
  readonly error: string;
}

/** What workload.ts tells about a request. */
export interface Seen {
  readonly version: string;
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly httpVersion: string;
  readonly port: number;
  readonly remoteAddress: string;
}

/** Runs curl with the arguments as given (quote for sh). */
export async function curl(shell: PodShell, args: string): Promise<CurlAnswer> {
  const result = await shell.run(`curl -sS -i -m 8 ${args}`);
  let rest = result.stdout;
  let head = "";
  // 100 Continue and the like come before the answer's head.
  do {
    const end = rest.indexOf("\r\n\r\n");
    if (end === -1) break;
    head = rest.slice(0, end);
    rest = rest.slice(end + 4);
  } while (/^HTTP\/\S+ 1\d\d/.test(head));
  const headers: Record<string, string> = {};
  for (const line of head.split("\r\n").slice(1)) {
    const name = line.slice(0, line.indexOf(":")).toLowerCase();
    const value = line.slice(line.indexOf(":") + 1).trim();
    headers[name] = headers[name] === undefined ? value : `${headers[name]}, ${value}`;
  }
  const status = Number(/^HTTP\/\S+ (\d+)/.exec(head)?.[1] ?? 0);
  return { status, headers, body: rest, error: result.stderr.trim() };
}

export function seen(answer: CurlAnswer): Seen {
  try {
    return JSON.parse(answer.body) as Seen;
  } catch {
    throw new Error(`not an answer of the workload: ${answer.status} ${answer.body} ${answer.error}`);
  }
}
