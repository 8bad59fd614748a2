// What a command may know of the world outside: passed in, so that commands run the same in tests.
import { join } from "node:path";

export interface CliContext {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  /** Where package.json lies. */
  readonly packageRoot: string;
  /** The file that runs, for processes that are to run the same: `bin/outrigger.ts`, or the bundle. */
  readonly program: string;
  readonly homeDirectory: string;
  readonly stdin: NodeJS.ReadStream;
  readonly stdout: NodeJS.WriteStream;
  readonly stderr: NodeJS.WriteStream;
}

/** Where the embedded cluster keeps its database, logs and socket: OUTRIGGER_STATE_DIR, or under the XDG state home. */
export function stateDirectory(context: CliContext): string {
  const { OUTRIGGER_STATE_DIR, XDG_STATE_HOME } = context.env;
  if (OUTRIGGER_STATE_DIR !== undefined && OUTRIGGER_STATE_DIR !== "") return OUTRIGGER_STATE_DIR;
  return join(XDG_STATE_HOME ?? join(context.homeDirectory, ".local/state"), "outrigger");
}

export function print(context: CliContext, text: string): void {
  context.stdout.write(text.endsWith("\n") ? text : `${text}\n`);
}

export function printError(context: CliContext, text: string): void {
  context.stderr.write(text.endsWith("\n") ? text : `${text}\n`);
}

/** Ends a command with a sentence for the user and no stack trace. */
export class UsageError extends Error {
  readonly exitCode: number;

  constructor(message: string, exitCode = 1) {
    super(message);
    this.exitCode = exitCode;
  }
}
