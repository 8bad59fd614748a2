// The one executable: reads the environment and hands over to the command line. Bundled, it is dist/outrigger.cjs.
import { existsSync } from "node:fs";
import { enableCompileCache } from "node:module";
import { homedir } from "node:os";
import { join } from "node:path";
import { type CliContext, stateDirectory } from "../src/cli/context.ts";

const context: CliContext = {
  env: process.env,
  cwd: process.cwd(),
  packageRoot: join(import.meta.dirname, ".."),
  program: import.meta.filename,
  homeDirectory: homedir(),
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
};
// Compiled code is kept where everything of ours is; a container brings a folder of its own in NODE_COMPILE_CACHE.
const state = stateDirectory(context);
if (process.env["NODE_COMPILE_CACHE"] === undefined && existsSync(state))
  enableCompileCache(join(state, "compile-cache/cli"));

const run = async (): Promise<number> => (await import("../src/cli/main.ts")).runCli(process.argv.slice(2), context);
/** What was written to a pipe goes out with the event loop; a reader that is gone wants no more of it. */
const written = (stream: NodeJS.WriteStream): Promise<void> =>
  new Promise((resolve) => {
    stream.once("error", () => resolve());
    stream.write("", () => resolve());
  });

run().then(
  // A command that has ended is over, whatever a library still keeps open.
  async (exitCode) => {
    await Promise.all([written(process.stdout), written(process.stderr)]);
    process.exit(exitCode);
  },
  (error: unknown) => {
    console.error(error);
    process.exit(70);
  },
);
