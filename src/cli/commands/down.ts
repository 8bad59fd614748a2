// `outrigger down`: ends the mesh that another terminal started, and waits until it is gone.
import type { Command } from "commander";
import { type CliContext, print, stateDirectory, UsageError } from "../context.ts";
import { runningPid } from "./up/running.ts";

const timeoutMs = 60_000;

export function registerDown(program: Command, context: CliContext): void {
  program
    .command("down")
    .description("stop the mesh that runs here")
    .action(async () => {
      const directory = stateDirectory(context);
      const pid = runningPid(directory);
      if (pid === undefined) {
        print(context, "no mesh runs here");
        return;
      }
      process.kill(pid, "SIGTERM");
      const deadline = Date.now() + timeoutMs;
      while (runningPid(directory) !== undefined) {
        if (Date.now() > deadline) throw new UsageError(`process ${pid} did not end within ${timeoutMs / 1000} s`);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      print(context, "stopped; nothing is left behind");
    });
}
