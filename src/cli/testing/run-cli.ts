// For tests: one command as a person would type it, in this process, with everything that it wrote.
import { join } from "node:path";
import { PassThrough, Readable } from "node:stream";
import type { CliContext } from "../context.ts";
import { runCli } from "../main.ts";

export interface CliResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CliWorld {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly stdin?: string;
}

export const packageRoot: string = join(import.meta.dirname, "../../..");

/** A state directory that nothing can create. */
const noMesh = "/proc/no-mesh";

/** Without a world there is no mesh. */
export async function run(argv: readonly string[], world: CliWorld = {}): Promise<CliResult> {
  const stdout = new PassThrough();
  const stderr = new PassThrough();
  const context: CliContext = {
    env: { OUTRIGGER_STATE_DIR: noMesh, ...world.env },
    cwd: world.cwd ?? packageRoot,
    packageRoot,
    program: join(packageRoot, "bin/outrigger.ts"),
    homeDirectory: noMesh,
    stdin: Readable.from([Buffer.from(world.stdin ?? "")]) as unknown as NodeJS.ReadStream,
    stdout: stdout as unknown as NodeJS.WriteStream,
    stderr: stderr as unknown as NodeJS.WriteStream,
  };
  const texts = Promise.all([textOf(stdout), textOf(stderr)]);
  const code = await runCli(argv, context);
  stdout.end();
  stderr.end();
  const [out, err] = await texts;
  return { code, stdout: out, stderr: err };
}

async function textOf(stream: PassThrough): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}
