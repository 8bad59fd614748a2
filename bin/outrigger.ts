// The one executable: reads the environment and hands over to the command line.
import { existsSync } from "node:fs";
import { enableCompileCache } from "node:module";
import { homedir } from "node:os";
import { join } from "node:path";
import { type CliContext, stateDirectory } from "../src/cli/context.ts";

const context: CliContext = {
  env: process.env,
  cwd: process.cwd(),
  packageRoot: join(import.meta.dirname, ".."),
  homeDirectory: homedir(),
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
};
// Compiled code is kept where everything of ours is; a container brings a folder of its own in NODE_COMPILE_CACHE.
const state = stateDirectory(context);
if (process.env["NODE_COMPILE_CACHE"] === undefined && existsSync(state))
  enableCompileCache(join(state, "compile-cache/cli"));

const { runCli } = await import("../src/cli/main.ts");
const exitCode = await runCli(process.argv.slice(2), context);
// A command that has ended is over, whatever a library still keeps open.
process.exit(exitCode);
